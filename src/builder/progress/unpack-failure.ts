/** How BuildKit begins the words of containerd, which unpacks the layers of a base into a temporary mount. */
const unpacking = /mount callback failed on (\S+?): (.*)$/s;

/** What an error of Go's readers of archives and compressions says. */
const corruption =
  /archive\/tar: |unexpected EOF|gzip: |flate: |zstd|magic number|invalid (?:input|header|checksum)/;

/**
 * Explains that a layer of a base image can't be unpacked, and what to change. Returns undefined for any other failure.
 * Pure.
 */
export function explainUnpack(reason: string): string | undefined {
  const [, type] = /failed to get stream processor for (\S+): no processor for media-type/.exec(reason) ?? [];
  if (type !== undefined)
    return `a layer of a base image has the media type ${type}, which BuildKit can't unpack: ${another}`;
  const [, mount, words] = unpacking.exec(reason) ?? [];
  if (mount === undefined || words === undefined) return undefined;
  const why = words.replaceAll(mount, "");
  const said = `a layer of a base image can't be unpacked (${why})`;
  if (why.includes("window size exceeded"))
    return `${said}: its Zstandard has a window of over 512 MiB; compress it again with zstd --long=29 or less, or name another base in FROM`;
  return corruption.test(why)
    ? `${said}: it is damaged or encrypted, or its media type names another compression than it has; ${another}`
    : said;
}

const another = "rebuild the base, or name another in FROM";
