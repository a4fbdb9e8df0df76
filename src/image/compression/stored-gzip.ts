import { crc32 } from "node:zlib";

/** A stored block holds its length in 16 bits (RFC 1951, 3.2.4). */
const blockLimit = 65_535;
/** Magic, deflate, no flags, no time, no extra flags, system unknown (RFC 1952, 2.3). */
const head = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
const trailerLength = 8;

/** The number of bytes that {@link storedGzip} makes of `size` bytes. */
export function storedGzipSize(size: number): number {
  return head.length + size + 5 * Math.max(1, Math.ceil(size / blockLimit)) + trailerLength;
}

/**
 * Wraps bytes in gzip without compressing them, for readers that require gzip. The length of the result is known
 * before the bytes are, so it can be written into an archive while it is made.
 * @param size number of bytes in `plain`
 */
export async function* storedGzip(
  plain: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield head;
  let sum = 0;
  let left = size;
  let block = 0;
  if (size === 0) yield blockHead(0, true);
  for await (const piece of plain) {
    sum = crc32(piece, sum);
    for (let at = 0; at < piece.length; ) {
      if (block === 0) {
        if (left === 0) throw new Error(`more than the ${size} bytes that were announced`);
        block = Math.min(left, blockLimit);
        yield blockHead(block, block === left);
      }
      const part = piece.subarray(at, at + block);
      yield part;
      at += part.length;
      block -= part.length;
      left -= part.length;
    }
  }
  const trailer = Buffer.alloc(trailerLength);
  trailer.writeUInt32LE(sum, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield trailer;
}

function blockHead(length: number, isLast: boolean): Uint8Array {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(isLast ? 1 : 0, 0);
  bytes.writeUInt16LE(length, 1);
  bytes.writeUInt16LE(length ^ 0xffff, 3);
  return bytes;
}
