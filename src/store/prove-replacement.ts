import { UserError } from "../host/errors.ts";
import type { StepContext } from "../host/step-context.ts";
import type { BuildVersion } from "../image/build-version.ts";
import type { Digest } from "../image/digest.ts";
import type { ImageTree } from "../image/image-tree.ts";
import { proveLayers } from "../rootfs/prove-layers.ts";
import type { Stage, Store } from "./store.ts";

export interface Replacement {
  readonly store: Pick<Store, "fetch" | "where">;
  readonly stage: Pick<Stage, "blobs">;
  readonly version: BuildVersion;
  /** What the new build's targets lead to. */
  readonly trees: readonly ImageTree[];
  readonly step: StepContext;
}

/**
 * Before a build takes the place of a stored one of the same version: proves the layers of each manifest that the
 * stored one doesn't have. The version says what the configs are, so only that keeps an image with the same config over
 * other layers from replacing a good one; and a good one replaces what isn't.
 * @throws UserError when a layer isn't what its config says
 */
export async function proveReplacement(replacement: Replacement): Promise<void> {
  const { store, stage, version, trees, step } = replacement;
  const stored = await storedManifests(replacement);
  const added = trees
    .flatMap(({ images }) => images)
    .filter(({ descriptor }) => !stored.has(descriptor.digest));
  const images = [...new Map(added.map((image) => [image.descriptor.digest, image])).values()];
  await proveLayers(stage.blobs, images, step).catch((thrown: unknown) => {
    if (!(thrown instanceof UserError)) throw thrown;
    throw new UserError(
      `${store.where}: version ${version.digest} is stored already, and what was built has its config over other layers, so it is not stored: ${thrown.message}`,
      { cause: thrown },
    );
  });
}

/** The runnable manifests of what is stored; none where that can't be read. */
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
