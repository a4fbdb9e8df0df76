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

/**
 * What a file, folder or link counts besides its bytes: a block of most filesystems. An inode, a name and the rest of the
 * last block take about as much, and an empty file is not for nothing.
 */
export const entryBytes = 4096;

/** What content counts of `cache.mounts.limit`. Pure. */
export function weightOf({ bytes, entries }: { readonly bytes: number; readonly entries: number }): number {
  return bytes + entries * entryBytes;
}

/**
 * Reports of everything below the current folder: the bytes of its files, the number of its files, the number of its files,
 * folders and links, and whether it is `within` the limit or `over` it. A sparse file counts all of its bytes, as its
 * zeros are copied. Names are not looked at, as they may have line breaks. (A file's raw mode begins with 8 in hexadecimal,
 * and awk's %d has an end where two sparse files may be beyond it.)
 */
function measureContent(limit: number): string {
  const count = `/^8/ { bytes += $2; files++ } { entries++ } END { printf "%.0f %.0f %.0f %s", bytes, files, entries, (bytes + ${entryBytes} * entries > ${limit} ? "over" : "within") }`;
  return `${box} find . -mindepth 1 -exec ${box} stat -c '%f %s' {} + 2>/dev/null | ${box} awk '${count}'`;
}

/**
 * Reports `whole`, or `cut` if there are folders that can't be read, or paths that are too long for the copies. Those of
 * the mount begin here with so many slashes as the longest path has before them, and that only has to be as long.
 */
const readsAll = `if ${box} find ${"/".repeat(64)}mount >/dev/null 2>&1; then echo whole; else echo cut; fi`;

/**
 * A hash of the names, owners, modes and times of everything, of the sizes of files and of the targets of links.
 * Left out are the times of links, which aren't copied, the sizes and times of folders, which the filesystem
 * sets, and sockets, which no layer holds.
 */
const fingerprint = `{ ${[
  ["! -type d ! -type l ! -type s", "%n %f %s %u %g %Y"],
  ["-type d", "%n %f %u %g"],
  ["-type l", "%N %u %g"],
]
  .map(([kind, format]) => `${box} find . ${kind} -exec ${box} stat -c '${format}' {} +;`)
  .join(" ")} } | ${box} sort | ${box} sha256sum | ${box} cut -d ' ' -f 1`;

/** Sizes, times and names of the files below the current folder. */
const listFiles = `${box} find . -type f -exec ${box} stat -c '%s %Y %n' {} +`;

/**
 * Bytes of the files that are new or changed since the content was saved. Of a name with line breaks only the first line is
 * looked at.
 */
const changedBytes = `cd /saved; ${listFiles} >/before; cd /mount; ${listFiles} | ${box} awk '!/^[0-9]+ -?[0-9]+ [.]/ { next } FILENAME == "/before" { old[$0] = 1; next } !($0 in old) { bytes += $1 } END { printf "%.0f", bytes }' /before -`;

/** A mount to measure, and what it began with. */
export interface ToMeasure {
  readonly mount: CacheMount;
  /** The content that was restored into it. */
  readonly restored: SavedContent | undefined;
}

/** What the steps of {@link measuringDockerfile} are given. */
export interface Measuring {
  /** Bytes. Larger content is not looked at any further: to sort all its names could take any amount of memory. */
  readonly limit: number;
  /** Keeps the steps from being cached. */
  readonly nonce: string;
}

/**
 * Has a step for each mount that reports `cache-mount INDEX BYTES FILES ENTRIES within whole FINGERPRINT CHANGED`. If it
 * says `over` or `cut` instead ({@link measureContent}, {@link readsAll}), the rest is missing. The last are the
 * bytes of files that are new or changed since the mount was restored; it is missing if it wasn't.
 */
export function measuringDockerfile(mounts: readonly ToMeasure[], { limit, nonce }: Measuring): string {
  const stages = mounts.map(({ mount, restored }, index) => {
    const saved = restored === undefined ? "" : savedStage(`saved-${index}`, restored);
    const from =
      restored === undefined ? [] : [`--mount=type=bind,from=saved-${index},source=/saved,target=/saved`];
    const changed = restored === undefined ? "" : ` $(${changedBytes})`;
    const script = `cd /mount; size="$(${measureContent(limit)}) $(${readsAll})"; case "$size" in *" within whole") size="$size $(${fingerprint})${changed}";; esac; echo "${reportMark} $0 $size"; ${box} touch /ready`;
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
 * Has a step that copies saved content into its mount, and reports `cache-mount BYTES FILES ENTRIES within`. Content that is
 * `over` the limit is not copied.
 *
 * The step may be stopped at any time, and programs trust the files that they find. So the copies get their names when
 * all of them are there. What can't be moved, as the mount has a folder of that name, is copied once more.
 */
export function restoringDockerfile(saved: SavedContent, limit: number, nonce: string): string {
  const copy = `${incomplete}$0`;
  const script = `cd /saved; size="$(${measureContent(limit)})"; echo "${reportMark} $size"; case "$size" in *within) ;; *) exit 0;; esac; ${box} cp -a /saved "${copy}"; cd "${copy}"; ${box} find . -mindepth 1 -maxdepth 1 -exec ${box} mv -f -t /mount {} + || :; ${box} cp -a . /mount/; ${box} rm -rf "${copy}"; ${box} touch -r /saved /mount`;
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
