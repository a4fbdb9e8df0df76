import type { BuildDescription } from "./build-description.ts";

/** How BuildKit begins the words of containerd, which unpacks layers into a temporary mount. */
const inMount = /mount callback failed on (\S+?): (.*)$/s;

/** What containerd says if it makes a layer of what a build has changed, in a mount inside another. */
const making =
  /mount callback failed on |failed to (?:write (?:compressed )?diff|create diff tar stream|get compressed stream|open writer|commit): /;

/** How Go ends an error that is BuildKit's machine's (strerror(3)), and what that means. */
const ofMachine: readonly (readonly [words: string, found: string])[] = [
  ["no space left on device", "the disk on which it keeps layers is full; make room on it or use another"],
  ["disk quota exceeded", "the disk quota for its layers is used up; raise it or make room"],
  ["input/output error", "its disk fails with an I/O error"],
  ["read-only file system", "its disk is mounted read-only"],
  ["stale NFS file handle", "its network disk no longer knows the file"],
  ["structure needs cleaning", "its filesystem is damaged"],
  ["cannot allocate memory", "it is out of memory"],
  ["too many open files", "it has as many files open as it may"],
  ["too many open files in system", "its machine has as many files open as it can"],
];

/** What an error of Go's readers of archives and compressions says. */
const corruption =
  /archive\/tar: |unexpected EOF|gzip: |flate: |zstd|magic number|invalid (?:input|header|checksum)/;

/**
 * Explains that a layer of a base image can't be unpacked, and what to change. Returns undefined for any other failure.
 * Pure.
 */
export function explainUnpack(reason: string, build: BuildDescription): string | undefined {
  const layer =
    build.usesLayerCache === true
      ? "a layer of a base image, or of the layer cache,"
      : "a layer of a base image";
  const [, type] = /failed to get stream processor for (\S+): no processor for media-type/.exec(reason) ?? [];
  if (type !== undefined)
    return `${layer} has the media type ${type}, which BuildKit can't unpack: ${another}`;
  const [, mount, words] = inMount.exec(reason) ?? [];
  if (mount === undefined || words === undefined || making.test(words)) return undefined;
  const why = words.replaceAll(mount, "");
  const [, found] = ofMachine.find(([end]) => why.endsWith(`: ${end}`)) ?? [];
  if (found !== undefined) return `BuildKit can't unpack a layer (${why}): ${found}`;
  const said = `${layer} can't be unpacked (${why})`;
  if (why.includes("window size exceeded"))
    return `${said}: its Zstandard has a window of over 512 MiB; compress it again with zstd --long=29 or less, or name another base in FROM`;
  return corruption.test(why)
    ? `${said}: it is damaged or encrypted, or its media type names another compression than it has; ${another}`
    : said;
}

const another = "rebuild the base, or name another in FROM";
