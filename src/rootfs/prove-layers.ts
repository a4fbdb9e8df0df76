import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { mapAtOnce } from "../host/map-at-once.ts";
import type { StepContext } from "../host/step-context.ts";
import type { ArrivingBlob } from "../image/arriving-blob.ts";
import type { Blobs } from "../image/blobs.ts";
import { checkDigest } from "../image/bring-checked.ts";
import { findDecompressors } from "../image/compression/decompressors.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { DiffId, Digest } from "../image/digest.ts";
import type { Image } from "../image/image-tree.ts";
import { checkDiffId, type LayerBytes, openCompressed, plainBytes } from "./layer/layer.ts";
import { type OpenLayer, openInFile, openLayer } from "./layer/open-layer.ts";
import { errorOfThread } from "./threads/failure.ts";
import { HashThreads } from "./threads/hash-threads.ts";

/** Compressed bytes. A layer of at most this size isn't worth a thread. */
const smallLayer = 256 * 1024;
/** The most layers that are decompressed at once. */
const provedAtOnce = Math.min(4, availableParallelism());

type ProvingStep = Pick<StepContext, "env" | "signal">;

/**
 * Checks layers against the diff IDs in their images' configs, several at a time, each in a thread unless it is small.
 * What is decompressed for the check is exactly the bytes that are in the blob's file. Only with this check does an
 * image's config, and so a version, vouch for its layers.
 */
export class LayerProver implements AsyncDisposable {
  readonly #diffIds = new Map<Digest, Set<DiffId>>();
  readonly #threads = new HashThreads(provedAtOnce);
  readonly #decompressors;
  readonly #env: ProvingStep["env"];

  constructor(images: readonly Image[], { env }: Pick<ProvingStep, "env">) {
    this.#env = env;
    this.#decompressors = findDecompressors(env);
    for (const { manifest, config } of images) {
      for (const [at, { digest }] of manifest.layers.entries()) {
        const diffId = config.rootfs.diff_ids[at];
        if (diffId === undefined) throw new Error(`no diff ID for layer ${at}`);
        this.#diffIds.set(digest, (this.#diffIds.get(digest) ?? new Set()).add(diffId));
      }
    }
  }

  /**
   * Checks a blob in its file, and its plain bytes if it is a layer of the images.
   * @param where names the blob's source in messages
   * @throws UserError when the blob doesn't match its descriptor, or the plain bytes don't match a diff ID
   */
  async check(arriving: ArrivingBlob, where: string, signal: AbortSignal): Promise<void> {
    const { descriptor } = arriving;
    if (this.#diffIds.has(descriptor.digest)) {
      const open = async () => arriving.open();
      await this.checkLayer({ descriptor, where, open, file: undefined, arriving }, signal);
    } else if (descriptor.size <= smallLayer) {
      await checkDigest(arriving, where, signal);
    } else {
      const step = { env: this.#env, signal };
      await this.#plainDigest(
        await openInFile({ where }, { blob: arriving, compression: "none" }, { step }),
        descriptor,
        signal,
      );
    }
  }

  /** As {@link check}, for a layer of the images that may come from anywhere. */
  async checkLayer(layer: LayerBytes, signal: AbortSignal): Promise<void> {
    const { descriptor } = layer;
    const options = { step: { env: this.#env, signal }, decompressors: this.#decompressors };
    const isSmall = descriptor.size <= smallLayer;
    const found = isSmall
      ? await plainDigestHere(layer, signal)
      : await this.#plainDigest(await openLayer(layer, options), descriptor, signal);
    for (const diffId of this.#diffIds.get(descriptor.digest) ?? [])
      checkDiffId({ descriptor, diffId }, found);
  }

  async #plainDigest(layer: OpenLayer, { digest }: Descriptor, signal: AbortSignal): Promise<string> {
    await using open = layer;
    const read = await this.#threads.hash(() => ({ ...open.take(), digest }), signal);
    if (read.kind === "failed") {
      await open.throwIfDamaged(read.blob);
      throw errorOfThread(read.failure);
    }
    await open.finished(read);
    return read.digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
  }
}

async function plainDigestHere(layer: LayerBytes, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const plain of plainBytes(await openCompressed(layer, signal), layer.descriptor)) {
    signal.throwIfAborted();
    hash.update(plain);
  }
  return `sha256:${hash.digest("hex")}`;
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
  await mapAtOnce([...layers.values()], limits, (descriptor, signal) => {
    const open = (reading: AbortSignal) => blobs.open(descriptor, reading);
    return prover.checkLayer({ descriptor, where: blobs.where, open, file: blobs.file(descriptor) }, signal);
  });
}
