import type { Readable } from "node:stream";
import { UserError } from "../../host/errors.ts";
import { type Compression, compressionOf, decompress } from "../../image/compression/formats.ts";
import { headLength } from "../../image/compression/magic.ts";
import { UndecompressableError, undecompressableLayer } from "../../image/compression/undecompressable.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { DiffId } from "../../image/digest.ts";
import { verified } from "../../image/verify.ts";

/** One layer of the image, lowest first in a list: its compressed blob and the digest of its plain bytes. */
export interface Layer extends LayerBytes {
  readonly diffId: DiffId;
}

/** A layer's compressed blob. */
export interface LayerBytes {
  readonly descriptor: Descriptor;
  /** Whether the bytes of `open` are verified already. */
  readonly isVerified?: boolean;
  /** The compressed blob. */
  open(signal: AbortSignal): Promise<Readable>;
  /** The blob's file, where it lies on a local disk; it may get there later. */
  readonly file: string | undefined;
}

export interface Compressed {
  readonly compression: Compression;
  /** Ends in a UserError unless size and digest are right. */
  readonly bytes: AsyncIterable<Buffer>;
}

/** The compressed bytes of a layer, verified as they pass, and what compression they are in. */
export async function openCompressed(
  { descriptor, open, isVerified = false }: Omit<LayerBytes, "file">,
  signal: AbortSignal,
): Promise<Compressed> {
  const opened = await open(signal);
  const source = isVerified ? opened : verified(descriptor, opened, { where: "layer", signal });
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

/** A layer's plain bytes, decompressed in this process. @throws UserError */
export async function* plainBytes(
  { compression, bytes }: Compressed,
  { digest }: Descriptor,
): AsyncGenerator<Buffer> {
  try {
    yield* decompress(compression, bytes);
  } catch (thrown) {
    throw thrown instanceof UndecompressableError ? undecompressableLayer(digest, thrown.message) : thrown;
  }
}

/** @throws UserError when the archive isn't the one that the image's config names */
export function checkDiffId(
  { descriptor, diffId }: Pick<Layer, "descriptor" | "diffId">,
  found: string,
): void {
  if (found === diffId) return;
  throw new UserError(
    `layer ${descriptor.digest} holds an archive of digest ${found}, the image's config says ${diffId}; store the image again`,
  );
}
