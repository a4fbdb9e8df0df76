import { UserError } from "../../host/errors.ts";
import type { Digest } from "../digest.ts";

/** How a layer is compressed, by its first bytes: media types of layers are often wrong. */
export type Compression = "gzip" | "zstd" | "none";

/** As many bytes as {@link compressionOf} looks at. */
export const headLength = 4;

const gzip = 0x8b1f; // RFC 1952, 2.3.1
const zstd = 0xfd2fb528; // RFC 8878, 3.1.1
const skippable = 0x184d2a50; // RFC 8878, 3.1.2; the last four bits may be anything

export function compressionOf(head: Buffer): Compression {
  if (head.length >= 2 && head.readUInt16LE(0) === gzip) return "gzip";
  return head.length >= headLength && isZstd(head.readUInt32LE(0)) ? "zstd" : "none";
}

export function isZstd(magic: number): boolean {
  return magic === zstd || isSkippable(magic);
}

export function isSkippable(magic: number): boolean {
  return (magic & 0xfffffff0) >>> 0 === skippable;
}

export function undecompressable(digest: Digest, reason: string): UserError {
  return new UserError(`layer ${digest} can't be decompressed: ${reason}; store the image again`);
}
