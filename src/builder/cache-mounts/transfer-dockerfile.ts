import type { CacheMount } from "./find-mounts.ts";

/** Content of a mount that was saved: the key is part of the step that copied it, and so of where a cache has it. */
export interface SavedContent {
  readonly mount: CacheMount;
  /** Random. */
  readonly key: string;
}

/** The folder with a static busybox in it, as the transfers' context. */
export const toolContext = "context";
/** The stage whose step must always be run: it writes down what is saved. */
export const indexStage = "index";
export const indexSecret = "index";

/*
 * The steps below are looked for in a layer cache by their definitions. Whoever changes one of them makes what was saved
 * before impossible to find: nothing breaks, it is saved anew.
 */
const box = "/tool/busybox";
const runFlags = "RUN --mount=type=bind,target=/tool";

function mountFlag({ id, ownership }: CacheMount): string {
  return `--mount=type=cache,id=${id}${ownership === "" ? "" : `,${ownership}`},target=/mount`;
}

function containerStep(flags: readonly string[], script: string, argument: string): string {
  return `${[runFlags, ...flags].join(" ")} ${JSON.stringify([box, "sh", "-ec", script, "sh", argument])}`;
}

const copyOut = `${box} cp -a /mount /saved; ${box} touch /ready`;

function savedStage(name: string, { mount, key }: SavedContent): string {
  return `FROM scratch AS ${name}\n${containerStep([mountFlag(mount)], copyOut, key)}\n`;
}

/** What begins a line by which a step of ours tells of a mount. */
export const reportMark = "cache-mount";

/** Bytes and number of the files below the current folder. */
const measureFiles = `${box} find . -type f -exec ${box} stat -c %s {} + | ${box} awk '{ bytes += $1; files++ } END { printf "%d %d", bytes, files }'`;

/** Owners, modes and times of everything: but the times of links, which aren't copied, and what the filesystem makes of folders. */
const fingerprint = `{ ${[
  ["! -type d ! -type l", "%n %f %s %u %g %Y"],
  ["-type d", "%n %f %u %g"],
  ["-type l", "%N %u %g"],
]
  .map(([kind, format]) => `${box} find . ${kind} -exec ${box} stat -c '${format}' {} +;`)
  .join(" ")} } | ${box} sort | ${box} sha256sum | ${box} cut -d ' ' -f 1`;

/** A step that reports `cache-mount INDEX FINGERPRINT BYTES FILES` of each mount. `nonce` keeps it from being cached. */
export function measuringDockerfile(mounts: readonly CacheMount[], nonce: string): string {
  const script = `cd /mount; echo "${reportMark} $0 $(${fingerprint}) $(${measureFiles})"`;
  const stages = mounts.map(
    (mount, index) =>
      `FROM scratch AS measured-${index}\n${runFlags} ${mountFlag(mount)} ${JSON.stringify([
        box,
        "sh",
        "-ec",
        `${script}; ${box} touch /ready`,
        String(index),
        nonce,
      ])}\n`,
  );
  const all = mounts.map((_, index) => `COPY --from=measured-${index} /ready /ready-${index}\n`);
  return `${stages.join("")}FROM scratch\n${all.join("")}`;
}

/**
 * A step that puts saved content into its mount, and reports `cache-mount BYTES FILES`. What is there comes from a step
 * that began too early, and was ended.
 */
export function restoringDockerfile(saved: SavedContent, nonce: string): string {
  const script = `${box} find /mount -mindepth 1 -maxdepth 1 -exec ${box} rm -rf {} +; ${box} cp -a /saved/. /mount/; cd /saved; echo "${reportMark} $(${measureFiles})"`;
  const flags = ["--mount=type=bind,from=saved,source=/saved,target=/saved", mountFlag(saved.mount)];
  return `${savedStage("saved", saved)}FROM scratch\n${containerStep(flags, script, nonce)}\n`;
}

/** The step that holds the list of what is saved, whose text it gets as a secret: those are no part of its definition. */
function indexStep(place: string): string {
  const script = `if [ -e /run/secrets/${indexSecret} ]; then ${box} cp /run/secrets/${indexSecret} /index; else ${box} touch /index; fi`;
  return `FROM scratch AS ${indexStage}\n${containerStep([`--mount=type=secret,id=${indexSecret}`], script, place)}\n`;
}

/** @param place tells the list of one cache from that of another */
export function indexDockerfile(place: string): string {
  return `${indexStep(place)}FROM scratch\nCOPY --from=${indexStage} /index /index\n`;
}

/**
 * Copies the mounts whose keys are new, takes up the content of those that aren't, and writes the list. The stages
 * between, a file each, keep content that a cache has from being fetched only to be saved again.
 */
export function savingDockerfile(contents: readonly SavedContent[], place: string): string {
  const stages = contents.map(
    (content, index) =>
      `${savedStage(`saved-${index}`, content)}FROM scratch AS ready-${index}\nCOPY --from=saved-${index} /ready /ready\n`,
  );
  const all = contents.map((_, index) => `COPY --from=ready-${index} / /\n`);
  return `${stages.join("")}${indexStep(place)}FROM scratch\n${all.join("")}COPY --from=${indexStage} /index /index\n`;
}
