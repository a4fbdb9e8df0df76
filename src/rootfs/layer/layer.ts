import type { Readable } from "node:stream";
import type { ArrivingBlob } from "../../image/arriving-blob.ts";
import { type Compression, compressionOf, decompress } from "../../image/compression/formats.ts";
import { headLength } from "../../image/compression/magic.ts";
import { UndecompressableError } from "../../image/compression/undecompressable.ts";
import { damagedLayer, otherArchive, undecompressable } from "../../image/damaged-layer.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { DiffId } from "../../image/digest.ts";
import { verified } from "../../image/verify.ts";

/**
 * One layer of an image: its compressed blob and the digest of its plain bytes. Lists begin with the lowest layer.
 */
export interface Layer extends LayerBytes {
  readonly diffId: DiffId;
  /** Whether the blob is known to have this diff ID, so that it need not be computed. */
  readonly isProven: boolean;
  /** Called when the layer has been unpacked and isn't read again. */
  readonly unpacked?: (() => Promise<void> | undefined) | undefined;
}

/** A layer's compressed blob. */
export interface LayerBytes {
  readonly descriptor: Descriptor;
  /** Names the blob's source in messages; by default `layer`. */
  readonly where?: string;
  /** Opens the compressed blob. */
  open(signal: AbortSignal): Promise<Readable>;
  /** The blob's file if it is on a local disk. */
  readonly file: string | undefined;
  /** The blob if it is arriving in a file, or is a part of one. */
  readonly arriving?: ArrivingBlob | undefined;
}

export interface Compressed {
  readonly compression: Compression;
  /** Reading them ends in a UserError unless size and digest are right. */
  readonly bytes: AsyncIterable<Buffer>;
}

/** Opens the compressed bytes of a layer, which are verified as they pass, and detects their compression. */
export async function openCompressed(
  { descriptor, open, where = "layer" }: Omit<LayerBytes, "file">,
  signal: AbortSignal,
): Promise<Compressed> {
  const source = verified(descriptor, await open(signal), { where, signal });
  const iterator = (source as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < headLength) {
    const { value, done } = await iterator.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  async function* all() {
    try {
      if (head.length > 0) yield head;
      yield* { [Symbol.asyncIterator]: () => iterator };
    } finally {
      source.destroy();
    }
  }
  return { compression: compressionOf(head), bytes: all() };
}

/**
 * Decompresses a layer in this process.
 * @throws UserError when it can't be decompressed
 */
export async function* plainBytes(
  { compression, bytes }: Compressed,
  { digest }: Descriptor,
): AsyncGenerator<Buffer> {
  try {
    yield* decompress(compression, bytes);
  } catch (thrown) {
    throw thrown instanceof UndecompressableError
      ? damagedLayer(digest, undecompressable(thrown.message))
      : thrown;
  }
}

/** @throws UserError when the digest of the plain bytes isn't the diff ID in the image's config */
export function checkDiffId(
  { descriptor, diffId }: Pick<Layer, "descriptor" | "diffId">,
  found: string,
): void {
  if (found === diffId) return;
  throw damagedLayer(descriptor.digest, otherArchive(found, diffId));
}
