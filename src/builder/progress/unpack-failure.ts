import type { BuildDescription } from "./build-description.ts";

/** How BuildKit begins the words of containerd, which unpacks layers into a temporary mount. */
const inMount = /mount callback failed on (\S+?): (.*)$/s;

/** What containerd says if it makes a layer of what a build has changed, in a mount inside another. */
const making =
  /mount callback failed on |failed to (?:write (?:compressed )?diff|create diff tar stream|get compressed stream|open writer|commit): /;

/** Where BuildKit says that a layer fails that it needs, or that it brings into another compression. */
const needed =
  /^(?:failed to compute cache key: |failed to ensure compression type of "\w+": failed to convert: )(.*)$/s;

/** The folder of a layer in BuildKit's state. A privileged BuildKit unpacks into it, without a mount. */
const ofLayer = /\/\S*\/snapshots\/snapshots\/\d+\/fs(?=\/)/g;

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

/**
 * How BuildKit begins what it says of a layer that it can't fetch, or of a COPY's files. The end may be like the errors
 * below. containerd begins only one of its own in this way.
 */
const ofFetching = /^failed to (?!Lchown )|^short read: /;

/** What an error of Go's readers of archives and compressions says, or of a program that decompresses. */
const corruption =
  /archive\/tar: |unexpected EOF|gzip: |unpigz: |flate: |zstd|magic number|invalid (?:input|header|checksum)|window size exceeded/;

/** A member of a type that containerd doesn't read, or whose name is longer than filesystems allow. */
const oddMember = /^unhandled tar header type (\d+)$|: file name too long$/;

/**
 * Explains that a layer of a base image can't be unpacked, and what to change. Returns undefined for any other failure.
 * Pure.
 */
export function explainUnpack(reason: string, build: BuildDescription): string | undefined {
  const layer = neededLayer(build);
  const [, type] = /failed to get stream processor for (\S+): no processor for media-type/.exec(reason) ?? [];
  if (type !== undefined)
    return `${layer} has the media type ${type}, which BuildKit can't unpack: ${another}`;
  const why = unpackingIn(reason);
  if (why === undefined) return undefined;
  const [, found] = ofMachine.find(([end]) => why.endsWith(`: ${end}`)) ?? [];
  if (found !== undefined) return `BuildKit can't unpack a layer (${why}): ${found}`;
  const [odd, code] = oddMember.exec(why) ?? [];
  if (code !== undefined)
    return `${layer} can't be unpacked: a member of its archive has the type ${memberType(Number(code))}, which BuildKit doesn't read${code === sparse ? " (a sparse file of GNU tar: write the layer without --sparse)" : ""}; ${another}`;
  const said = `${layer} can't be unpacked (${why})`;
  if (odd !== undefined) return `${said}: ${another}`;
  if (why.includes("window size exceeded"))
    return `${said}: its Zstandard has a window of over 512 MiB; compress it again with zstd --long=29 or less, or name another base in FROM`;
  return corruption.test(why)
    ? `${said}: it is damaged or encrypted, or its media type names another compression than it has; ${another}`
    : said;
}

/** A layer that a step needs, as a subject. */
export function neededLayer({ usesLayerCache }: BuildDescription): string {
  return usesLayerCache === true
    ? "a layer of a base image, or of the layer cache,"
    : "a layer of a base image";
}

/** What containerd says while it unpacks a layer, without BuildKit's own folders. Undefined for any other failure. */
function unpackingIn(reason: string): string | undefined {
  const [, mount, mounted] = inMount.exec(reason) ?? [];
  if (mount !== undefined && mounted !== undefined)
    return making.test(mounted) ? undefined : mounted.replaceAll(mount, "");
  // Layers above the first are unpacked without a mount where BuildKit has the privileges for that.
  const [, words] = needed.exec(reason) ?? [];
  if (words === undefined || making.test(words) || ofFetching.test(words)) return undefined;
  const why = words.replaceAll(ofLayer, "");
  if (why !== words) return why;
  return corruption.test(why) || oddMember.test(why) ? why : undefined;
}

/** The type of an archive's member, which may be any byte. */
function memberType(code: number): string {
  return code > 0x20 && code < 0x7f
    ? `"${String.fromCharCode(code)}"`
    : `0x${code.toString(16).padStart(2, "0")}`;
}

/** The code of "S". */
const sparse = "83";

const another = "rebuild the base, or name another in FROM";
