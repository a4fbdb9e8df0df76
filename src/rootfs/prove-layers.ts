import { createHash } from "node:crypto";
import { PassThrough } from "node:stream";
import { mapAtOnce } from "../host/map-at-once.ts";
import type { StepContext } from "../host/step-context.ts";
import type { Blobs } from "../image/blobs.ts";
import { findDecompressors } from "../image/compression/decompressors.ts";
import { compressionOf } from "../image/compression/formats.ts";
import { headLength } from "../image/compression/magic.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { DiffId, Digest } from "../image/digest.ts";
import type { Image } from "../image/image-tree.ts";
import { drain, verifiedPieces } from "../image/verify.ts";
import { checkDiffId, type LayerBytes, openCompressed, plainBytes } from "./layer/layer.ts";
import { openLayer } from "./layer/open-layer.ts";
import { HashThreads } from "./threads/hash-threads.ts";

/** Compressed bytes. A layer of at most this size isn't worth a thread and a process. */
const smallLayer = 256 * 1024;
const provedAtOnce = 2;

type ProvingStep = Pick<StepContext, "env" | "signal">;

/**
 * Checks layers against the diff IDs in their images' configs as their bytes pass. What is decompressed for the
 * check is exactly these bytes, in another thread unless the layer is small. Only with this check does an image's
 * config, and so a version, vouch for its layers.
 */
export class LayerProver implements AsyncDisposable {
  readonly #diffIds = new Map<Digest, Set<DiffId>>();
  readonly #threads = new HashThreads(provedAtOnce);
  readonly #decompressors;
  readonly #step: ProvingStep;
  readonly #running: Promise<unknown>[] = [];

  constructor(images: readonly Image[], step: ProvingStep) {
    this.#step = step;
    this.#decompressors = findDecompressors(step.env);
    for (const { manifest, config } of images) {
      for (const [at, { digest }] of manifest.layers.entries()) {
        const diffId = config.rootfs.diff_ids[at];
        if (diffId === undefined) throw new Error(`no diff ID for layer ${at}`);
        this.#diffIds.set(digest, (this.#diffIds.get(digest) ?? new Set()).add(diffId));
      }
    }
  }

  /**
   * Passes a blob's verified pieces on. A blob that isn't a layer of the images isn't checked.
   * @param pieces each is valid until the next is requested
   * @throws UserError at the end, when the plain bytes don't match a diff ID
   */
  async *prove(
    descriptor: Descriptor,
    pieces: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const diffIds = this.#diffIds.get(descriptor.digest);
    if (diffIds === undefined) {
      yield* pieces;
      return;
    }
    let decompressed: Decompressed | undefined;
    try {
      for await (const piece of pieces) {
        decompressed ??= isPlain(piece)
          ? { ends: Promise.resolve(descriptor.digest) }
          : this.#decompress(descriptor);
        if (decompressed.copy !== undefined) await written(decompressed.copy, Buffer.from(piece));
        yield piece;
      }
      decompressed?.copy?.end();
      const found = (await decompressed?.ends) ?? descriptor.digest;
      for (const diffId of diffIds) checkDiffId({ descriptor, diffId }, found);
    } finally {
      decompressed?.copy?.destroy();
      await decompressed?.ends.catch(() => {});
    }
  }

  #decompress(descriptor: Descriptor): Decompressed {
    const copy = new PassThrough({ highWaterMark: 1024 * 1024 });
    const ends = this.#plainDigest({ descriptor, isVerified: true, open: async () => copy });
    // After a failure nobody reads the copy any more.
    ends.catch(() => copy.destroy());
    this.#running.push(ends);
    return { copy, ends };
  }

  async #plainDigest(layer: Omit<LayerBytes, "file">): Promise<string> {
    const { descriptor } = layer;
    if (descriptor.size <= smallLayer) return this.#plainDigestHere(layer);
    const options = {
      step: this.#step,
      decompressors: this.#decompressors,
      // The diff ID covers the plain bytes, so what follows the last member doesn't matter.
      mayEndLoosely: true,
    };
    await using open = await openLayer({ ...layer, file: undefined }, options);
    const { digest, size } = await this.#threads.hash(() => ({ ...open.take(), digest: descriptor.digest }));
    await open.finished(size);
    return digest;
  }

  async #plainDigestHere(layer: Omit<LayerBytes, "file">): Promise<string> {
    const hash = createHash("sha256");
    for await (const plain of plainBytes(await openCompressed(layer, this.#step.signal), layer.descriptor)) {
      this.#step.signal.throwIfAborted();
      hash.update(plain);
    }
    return `sha256:${hash.digest("hex")}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#running);
    await this.#threads[Symbol.asyncDispose]();
  }
}

/** A layer whose plain digest is being computed. */
interface Decompressed {
  /**
   * Where its compressed bytes go. Undefined if the blob isn't compressed: then the blob's digest is the plain
   * digest.
   */
  readonly copy?: PassThrough;
  readonly ends: Promise<string>;
}

/** Whether a blob with this first piece is uncompressed. */
function isPlain(first: Uint8Array): boolean {
  const head = Buffer.from(first.buffer, first.byteOffset, Math.min(first.length, headLength));
  return head.length === headLength && compressionOf(head) === "none";
}

/** Writes bytes, and waits until the stream has room again or is closed. */
async function written(stream: PassThrough, bytes: Buffer): Promise<void> {
  if (stream.destroyed || stream.write(bytes)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once("drain", resolve).once("close", resolve);
  await promise;
  stream.off("drain", resolve).off("close", resolve);
}

/**
 * Checks the layers of images: each blob against its descriptor, and its plain bytes against the diff ID.
 * @throws UserError when one doesn't match
 */
export async function proveLayers(blobs: Blobs, images: readonly Image[], step: ProvingStep): Promise<void> {
  await using prover = new LayerProver(images, step);
  const layers = new Map(
    images.flatMap(({ manifest }) => manifest.layers).map((each) => [each.digest, each]),
  );
  const limits = { limit: provedAtOnce, signal: step.signal };
  await mapAtOnce([...layers.values()], limits, (layer, signal) =>
    drain(prover.prove(layer, verifiedPieces(blobs, layer, { signal }))),
  );
}
