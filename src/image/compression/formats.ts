import { errorCode, messageOf } from "../../host/errors.ts";
import { mediaTypes } from "../media-types.ts";
import { gunzip } from "./gunzip.ts";
import { canReadGzip, GzipReader } from "./gzip-reader.ts";
import { isGzip, isZstd } from "./magic.ts";
import { UndecompressableError } from "./undecompressable.ts";
import { unzstd } from "./zstd-frames.ts";
import { canReadZstd, ZstdReader } from "./zstd-reader.ts";
import { zstdReason } from "./zstd-window.ts";

/** How a layer or an archive is compressed. The first bytes decide, because media types of layers are often wrong. */
export type Compression = "gzip" | "zstd" | "none";

/** Reads plain bytes synchronously, for a thread. */
export interface PlainReader extends Disposable {
  /**
   * Fills a buffer from its start, completely or in part. Returns the number of bytes, 0 at the end.
   * @throws UserError
   */
  read(into: Uint8Array): number;
}

/** Everything about one compression. */
interface CompressionFormat {
  readonly compression: Exclude<Compression, "none">;
  /** Whether the first bytes are those of this compression. */
  readonly isMagic: (head: Buffer) => boolean;
  /** OCI's media type of a layer with this compression. */
  readonly mediaType: string;
  /** Docker's media type for the same. */
  readonly dockerMediaType?: string;
  /**
   * Decompresses in this process, any number of members or frames. Anything else after the last one is an error,
   * except zeros after gzip.
   */
  readonly decompress: (source: AsyncIterable<Buffer>) => AsyncGenerator<Buffer>;
  /** Why bytes can't be decompressed, from the words of Node's decompressor or of the program. */
  readonly reason: (words: string) => string;
  /** A program that decompresses stdin to stdout. `endsLoosely`: it ignores what follows the last member. */
  readonly program: { readonly name: string; readonly flags: string; readonly endsLoosely: boolean };
  /**
   * Decompresses in a thread, if that is faster than a program. `input` reads into a buffer and returns the number of
   * bytes, 0 at the end.
   */
  readonly inThread?: {
    readonly isPossible: () => boolean;
    readonly open: (input: (into: Buffer) => number) => PlainReader;
  };
}

/** Every supported compression, for image args, gets and unpacking alike. */
export const compressionFormats: readonly CompressionFormat[] = [
  {
    compression: "gzip",
    isMagic: isGzip,
    mediaType: mediaTypes.ociLayerGzip,
    dockerMediaType: mediaTypes.dockerLayerGzip,
    decompress: gunzip,
    reason: (words) => words,
    // It takes half as long as Node's zlib. Used if a thread can't decompress.
    program: { name: "igzip", flags: "-dc", endsLoosely: true },
    inThread: { isPossible: canReadGzip, open: (input) => new GzipReader(input) },
  },
  {
    compression: "zstd",
    isMagic: isZstd,
    mediaType: mediaTypes.ociLayerZstd,
    decompress: unzstd,
    reason: zstdReason,
    // Used if a thread can't decompress. The program reads any number of frames, and limits its memory.
    program: { name: "zstd", flags: "-dcqM512MiB", endsLoosely: false },
    inThread: { isPossible: canReadZstd, open: (input) => new ZstdReader(input) },
  },
];

/** @param head the first bytes: at least `headLength` of them, or all if there are fewer */
export function compressionOf(head: Buffer): Compression {
  return compressionFormats.find(({ isMagic }) => isMagic(head))?.compression ?? "none";
}

/** The format of a compression; undefined for `none`. */
export function compressionFormatOf(compression: Compression): CompressionFormat | undefined {
  return compressionFormats.find((format) => format.compression === compression);
}

/** OCI's media type of a layer with this compression. */
export function layerMediaType(compression: Compression): string {
  return compressionFormatOf(compression)?.mediaType ?? mediaTypes.ociLayer;
}

/** The compression that a layer's media type names; undefined if the media type isn't a layer's. */
export function compressionOfMediaType(mediaType: string): Compression | undefined {
  if (mediaType === mediaTypes.ociLayer || mediaType === mediaTypes.dockerLayer) return "none";
  return compressionFormats.find((each) => [each.mediaType, each.dockerMediaType].includes(mediaType))
    ?.compression;
}

/**
 * Decompresses bytes in this process.
 * @throws UndecompressableError when they can't be decompressed; an error of `bytes` is passed on unchanged
 */
export async function* decompress(
  compression: Compression,
  bytes: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  const format = compressionFormatOf(compression);
  try {
    yield* format?.decompress(bytes) ?? bytes;
  } catch (thrown) {
    const isDecompressorError = /^(Z_|ZSTD_|ERR_ZSTD)/.test(errorCode(thrown) ?? "");
    if (format === undefined || !isDecompressorError) throw thrown;
    throw new UndecompressableError(format.reason(messageOf(thrown)));
  }
}
