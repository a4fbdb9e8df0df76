import type { FileHandle } from "node:fs/promises";

/** Writes all of the pieces from a position on, also where the system takes only a part at once. */
export async function writeAllAt(
  file: FileHandle,
  pieces: readonly Uint8Array[],
  position: number,
): Promise<void> {
  const length = pieces.reduce((total, piece) => total + piece.length, 0);
  const { bytesWritten } = await file.writev(pieces, position);
  if (bytesWritten === length) return;
  let rest = Buffer.concat(pieces).subarray(bytesWritten);
  for (let at = position + bytesWritten; rest.length > 0; ) {
    const { bytesWritten: more } = await file.write(rest, 0, rest.length, at);
    rest = rest.subarray(more);
    at += more;
  }
}
