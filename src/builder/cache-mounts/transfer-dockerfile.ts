import type { CacheMount } from "./mount-flags.ts";

/**
 * Saved content of a mount. The key is part of the step that copies the content, so it decides where a cache has
 * it.
 */
export interface SavedContent {
  readonly mount: CacheMount;
  /** Random. */
  readonly key: string;
}

/** The folder with a static busybox, which is the transfers' build context. */
export const toolContext = "context";
/** The stage that writes the list of what is saved. Its step must always be run. */
export const indexStage = "index";
export const indexSecret = "index";

/*
 * A layer cache finds the steps below by their definitions. If you change one of them, content that was saved
 * before isn't found any more. Nothing breaks: it is saved again.
 */
const box = "/tool/busybox";
const runFlags = "RUN --mount=type=bind,target=/tool";

/** Ids that a flag can hold as they are: BuildKit takes each byte of a flag for a character. */
const plainId = /^[^\s"'`\\$,#\u0080-\u{10ffff}]+$/u;

/** How a stage uses a mount: what it declares before its RUN, and the flag. */
function useOf({ id, ownership }: CacheMount): { readonly declared: string; readonly flag: string } {
  const isPlain = plainId.test(id);
  const named = isPlain ? id : "$cache_mount_id";
  return {
    declared: isPlain ? "" : `ARG cache_mount_id="${id.replaceAll(/["\\$]/g, "\\$&")}"\n`,
    flag: `--mount=type=cache,id=${named}${ownership === "" ? "" : `,${ownership}`},target=/mount`,
  };
}

function containerStep(flags: readonly string[], script: string, argument: string): string {
  return `${[runFlags, ...flags].join(" ")} ${JSON.stringify([box, "sh", "-ec", script, "sh", argument])}`;
}

const copyOut = `${box} cp -a /mount /saved; ${box} touch /ready`;

function savedStage(name: string, { mount, key }: SavedContent): string {
  const { declared, flag } = useOf(mount);
  return `FROM scratch AS ${name}\n${declared}${containerStep([flag], copyOut, key)}\n`;
}

/** The first word of a line in which a transfer's step reports about a mount. */
export const reportMark = "cache-mount";

/** Bytes and number of the files below the current folder. */
const measureFiles = `${box} find . -type f -exec ${box} stat -c %s {} + | ${box} awk '{ bytes += $1; files++ } END { printf "%d %d", bytes, files }'`;

/**
 * A hash of the names, owners, modes and times of everything, of the sizes of files and of the targets of links.
 * Left out are the times of links, which aren't copied, and the sizes and times of folders, which the filesystem
 * sets.
 */
const fingerprint = `{ ${[
  ["! -type d ! -type l", "%n %f %s %u %g %Y"],
  ["-type d", "%n %f %u %g"],
  ["-type l", "%N %u %g"],
]
  .map(([kind, format]) => `${box} find . ${kind} -exec ${box} stat -c '${format}' {} +;`)
  .join(" ")} } | ${box} sort | ${box} sha256sum | ${box} cut -d ' ' -f 1`;

/** Sizes, times and names of the files below the current folder. */
const listFiles = `${box} find . -type f -exec ${box} stat -c '%s %Y %n' {} +`;

/** Bytes of the files that are new or changed since the content was saved. */
const changedBytes = `{ cd /saved; ${listFiles}; echo; cd /mount; ${listFiles}; } | ${box} awk '$0 == "" { isNow = 1; next } !isNow { old[$0] = 1; next } !($0 in old) { bytes += $1 } END { printf "%d", bytes }'`;

/** A mount to measure, and what it began with. */
export interface ToMeasure {
  readonly mount: CacheMount;
  /** The content that was restored into it. */
  readonly restored: SavedContent | undefined;
}

/**
 * Has a step for each mount that reports `cache-mount INDEX FINGERPRINT BYTES FILES CHANGED`, the last being bytes
 * of files that are new or changed since the mount was restored. `nonce` keeps it from being cached.
 */
export function measuringDockerfile(mounts: readonly ToMeasure[], nonce: string): string {
  const stages = mounts.map(({ mount, restored }, index) => {
    const saved = restored === undefined ? "" : savedStage(`saved-${index}`, restored);
    const from =
      restored === undefined ? [] : [`--mount=type=bind,from=saved-${index},source=/saved,target=/saved`];
    const changed = restored === undefined ? "" : ` $(${changedBytes})`;
    const script = `cd /mount; echo "${reportMark} $0 $(${fingerprint}) $(${measureFiles})${changed}"; ${box} touch /ready`;
    const { declared, flag } = useOf(mount);
    const flags = [runFlags, flag, ...from].join(" ");
    return `${saved}FROM scratch AS measured-${index}\n${declared}${flags} ${JSON.stringify([box, "sh", "-ec", script, String(index), nonce])}\n`;
  });
  const all = mounts.map((_, index) => `COPY --from=measured-${index} /ready /ready-${index}\n`);
  return `${stages.join("")}FROM scratch\n${all.join("")}`;
}

/** Begins the name of a folder in a mount, whose content is not complete. */
const incomplete = "/mount/.restoring-";

/**
 * Has a step that copies saved content into its mount, and reports `cache-mount BYTES FILES`. Content of
 * more than `limit` bytes is not copied.
 *
 * The step may be stopped at any time, and programs trust the files that they find. So the copies get their names when
 * all of them are there.
 */
export function restoringDockerfile(saved: SavedContent, limit: number, nonce: string): string {
  const copy = `${incomplete}$0`;
  const script = `cd /saved; size="$(${measureFiles})"; echo "${reportMark} $size"; [ "\${size% *}" -le ${limit} ] || exit 0; ${box} cp -a /saved "${copy}"; cd "${copy}"; ${box} find . -mindepth 1 -maxdepth 1 -exec ${box} mv -f {} /mount/ ';'; ${box} cp -a . /mount/; ${box} rmdir "${copy}"; ${box} touch -r /saved /mount`;
  const { declared, flag } = useOf(saved.mount);
  const flags = ["--mount=type=bind,from=saved,source=/saved,target=/saved", flag];
  return `${savedStage("saved", saved)}FROM scratch\n${declared}${containerStep(flags, script, nonce)}\n`;
}

/** Has a step that removes what a stopped restore has left in a mount. */
export function clearingDockerfile(mount: CacheMount, nonce: string): string {
  const { declared, flag } = useOf(mount);
  return `FROM scratch\n${declared}${containerStep([flag], `${box} rm -rf ${incomplete}*`, nonce)}\n`;
}

/**
 * The step that holds the list of what is saved. It gets the text as a secret, as secrets are not part of a step's
 * definition.
 */
function indexStep(place: string): string {
  const script = `if [ -e /run/secrets/${indexSecret} ]; then ${box} cp /run/secrets/${indexSecret} /index; else ${box} touch /index; fi`;
  return `FROM scratch AS ${indexStage}\n${containerStep([`--mount=type=secret,id=${indexSecret}`], script, place)}\n`;
}

/** @param place keeps the lists of different caches apart */
export function indexDockerfile(place: string): string {
  return `${indexStep(place)}FROM scratch\nCOPY --from=${indexStage} /index /index\n`;
}

/**
 * Copies the content of mounts with new keys, and writes the list. The steps of known keys are found in the
 * imported cache, so their content is kept without copying it again. Each `ready` stage between copies only a
 * single file. Content that the cache already has is then not fetched just to be saved again.
 */
export function savingDockerfile(contents: readonly SavedContent[], place: string): string {
  const stages = contents.map(
    (content, index) =>
      `${savedStage(`saved-${index}`, content)}FROM scratch AS ready-${index}\nCOPY --from=saved-${index} /ready /ready\n`,
  );
  const all = contents.map((_, index) => `COPY --from=ready-${index} / /\n`);
  return `${stages.join("")}${indexStep(place)}FROM scratch\n${all.join("")}COPY --from=${indexStage} /index /index\n`;
}
