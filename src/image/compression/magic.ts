const gzip = 0x8b1f; // RFC 1952, 2.3.1
const zstd = 0xfd2fb528; // RFC 8878, 3.1.1
const skippable = 0x184d2a50; // RFC 8878, 3.1.2; the last four bits may be anything

/** The number of first bytes that are needed to recognise a compression. */
export const headLength = 4;

export function isGzip(head: Buffer): boolean {
  return head.length >= 2 && head.readUInt16LE(0) === gzip;
}

/** Whether a Zstandard frame or a skippable frame begins here. */
export function isZstd(head: Buffer): boolean {
  if (head.length < headLength) return false;
  return head.readUInt32LE(0) === zstd || isSkippable(head);
}

export function isSkippable(head: Buffer): boolean {
  return (head.readUInt32LE(0) & 0xfffffff0) >>> 0 === skippable;
}
