import { errorCode, messageOf } from "../../host/errors.ts";
import { mediaTypes } from "../media-types.ts";
import { gunzip } from "./gunzip.ts";
import { isGzip, isZstd } from "./magic.ts";
import { UndecompressableError } from "./undecompressable.ts";
import { unzstd } from "./zstd-frames.ts";
import { canReadZstd, ZstdReader } from "./zstd-reader.ts";

/** How a layer or an archive is compressed, by its first bytes: media types of layers are often wrong. */
export type Compression = "gzip" | "zstd" | "none";

/** Reads plain bytes synchronously, for a thread. */
export interface PlainReader extends Disposable {
  /** Fills a buffer from its start, wholly or in part. Answers how many bytes; 0 at the end. @throws UserError */
  read(into: Uint8Array): number;
}

/** All that is known of one compression. */
interface CompressionFormat {
  readonly compression: Exclude<Compression, "none">;
  /** Whether bytes that begin so are compressed with it. */
  readonly isMagic: (head: Buffer) => boolean;
  /** Of a layer, in OCI's terms. */
  readonly mediaType: string;
  /** Docker's name for the same. */
  readonly dockerMediaType?: string;
  /** Decompresses in this process: any number of members or frames, and nothing else after the last. */
  readonly decompress: (source: AsyncIterable<Buffer>) => AsyncGenerator<Buffer>;
  /** A program that decompresses stdin to stdout. `endsLoosely`: what follows the last member is no error for it. */
  readonly program: { readonly name: string; readonly flags: string; readonly endsLoosely: boolean };
  /** Decompresses from a descriptor in a thread, where that is faster than a program. */
  readonly inThread?: { readonly isPossible: () => boolean; readonly open: (fd: number) => PlainReader };
}

/** Every compression that is read, for image args, gets and unpacking alike. */
export const compressionFormats: readonly CompressionFormat[] = [
  {
    compression: "gzip",
    isMagic: isGzip,
    mediaType: mediaTypes.ociLayerGzip,
    dockerMediaType: mediaTypes.dockerLayerGzip,
    decompress: gunzip,
    // It takes half the time of Node's zlib.
    program: { name: "igzip", flags: "-dc", endsLoosely: true },
  },
  {
    compression: "zstd",
    isMagic: isZstd,
    mediaType: mediaTypes.ociLayerZstd,
    decompress: unzstd,
    // For where a thread can't do it: it reads any number of frames, and limits its memory.
    program: { name: "zstd", flags: "-dcq", endsLoosely: false },
    inThread: { isPossible: canReadZstd, open: (fd) => new ZstdReader(fd) },
  },
];

/** @param head the first bytes, at least `headLength` of them where there are as many */
export function compressionOf(head: Buffer): Compression {
  return compressionFormats.find(({ isMagic }) => isMagic(head))?.compression ?? "none";
}

/** What is known of a compression; undefined of none. */
export function compressionFormatOf(compression: Compression): CompressionFormat | undefined {
  return compressionFormats.find((format) => format.compression === compression);
}

/** OCI's media type of a layer that is compressed so. */
export function layerMediaType(compression: Compression): string {
  return compressionFormatOf(compression)?.mediaType ?? mediaTypes.ociLayer;
}

/** What a layer's media type says of its compression; undefined when it is not that of a layer. */
export function compressionOfMediaType(mediaType: string): Compression | undefined {
  if (mediaType === mediaTypes.ociLayer || mediaType === mediaTypes.dockerLayer) return "none";
  return compressionFormats.find((each) => [each.mediaType, each.dockerMediaType].includes(mediaType))
    ?.compression;
}

/**
 * Plain bytes, decompressed in this process.
 * @throws UndecompressableError when they can't be; an error of `bytes` arrives unchanged
 */
export async function* decompress(
  compression: Compression,
  bytes: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  try {
    yield* compressionFormatOf(compression)?.decompress(bytes) ?? bytes;
  } catch (thrown) {
    const isZlib = /^(Z_|ZSTD_|ERR_ZSTD)/.test(errorCode(thrown) ?? "");
    throw isZlib ? new UndecompressableError(messageOf(thrown)) : thrown;
  }
}
