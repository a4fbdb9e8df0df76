/**
 * The largest window of a frame that is read (RFC 8878, 3.1.1.1.2), as a power of two: 512 MiB, which `zstd --long=29`
 * asks for. Go's reader of Zstandard, by which BuildKit, Docker, containerd and podman read layers, has the same limit.
 * The library's own is 128 MiB. It takes memory only for as much of a window as there is content.
 */
export const zstdWindowLog = 29;

/** Why a frame is refused, from the library's or the program's words. */
export function zstdReason(words: string): string {
  const isWindow = /requires too much memory|Window size larger/i.test(words);
  return isWindow
    ? "its Zstandard has a window of over 512 MiB, which BuildKit, Docker and podman don't read either (zstd --long=29 or less makes one that they read)"
    : `it is broken Zstandard: ${words}`;
}
