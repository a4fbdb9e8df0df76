import { UserError } from "../host/errors.ts";
import type { StepContext } from "../host/step-context.ts";
import type { BuildVersion } from "../image/build-version.ts";
import type { Digest } from "../image/digest.ts";
import type { ImageTree } from "../image/image-tree.ts";
import { isProven, type ProvenLayers } from "../image/proven-layers.ts";
import type { Build } from "./build.ts";
import type { Stage, Store } from "./store.ts";

export interface Replacement {
  readonly store: Pick<Store, "fetch" | "where">;
  readonly stage: Pick<Stage, "blobs">;
  readonly version: BuildVersion;
  /** What is stored under the version, not verified. */
  readonly earlier: Build;
  /** The image trees of the new build's targets. */
  readonly trees: readonly ImageTree[];
  /** Layers that were compared with their diff IDs while they were built. */
  readonly proven: ProvenLayers;
  readonly step: StepContext;
}

/**
 * Checks a build before it replaces a stored one of the same version. Each manifest that the stored build doesn't
 * have must have the layers that its config names.
 *
 * The version only names the configs. Without this check, an image with the same config but other layers could
 * replace a good one. A good build may replace a bad one.
 * @throws UserError if a layer isn't what its config says
 */
export async function proveReplacement(replacement: Replacement): Promise<void> {
  const { store, stage, version, earlier, proven, step } = replacement;
  // Digests of what the stored targets lead to. The same digest is the same tree, so nothing of it is replaced.
  const kept = new Set(earlier.targets.map(({ descriptor }) => descriptor.digest));
  const trees = replacement.trees.filter(({ top }) => !kept.has(top.digest));
  if (trees.length === 0) return;
  const stored = await storedManifests(replacement);
  const added = trees
    .flatMap(({ images }) => images)
    .filter((image) => !stored.has(image.descriptor.digest) && !isProven(image, proven));
  const images = [...new Map(added.map((image) => [image.descriptor.digest, image])).values()];
  if (images.length === 0) return;
  // Few puts replace a build, and the others need not load what decompresses layers.
  const { proveLayers } = await import("../rootfs/prove-layers.ts");
  await proveLayers(stage.blobs, images, step).catch((thrown: unknown) => {
    if (!(thrown instanceof UserError)) throw thrown;
    throw new UserError(
      `${store.where}: version ${version.digest} is stored already, and what was built has its config over other layers, so it is not stored: ${thrown.message}`,
      { cause: thrown },
    );
  });
}

/** Digests of the runnable manifests of the stored build. Empty if it can't be read. */
async function storedManifests({ store, version, step }: Replacement): Promise<ReadonlySet<Digest>> {
  try {
    await using build = await store.fetch(version, step.signal);
    return new Set(
      build.targets.flatMap(({ tree }) => tree.images.map(({ descriptor }) => descriptor.digest)),
    );
  } catch (thrown) {
    if (thrown instanceof UserError) return new Set();
    throw thrown;
  }
}
