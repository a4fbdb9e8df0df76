import type { StepContext } from "../host/step-context.ts";
import type { Blobs } from "../image/blobs.ts";
import type { Platform } from "../image/descriptor.ts";
import type { Digest } from "../image/digest.ts";
import { type Image, type ImageTree, isSingleImage, singleImage, versionOf } from "../image/image-tree.ts";
import { choosePlatform, hostPlatform } from "../image/platform.ts";
import type { Repository } from "../image/reference.ts";

/** An image's repository in a registry, and its tag. */
export interface RegistryPlace {
  readonly repository: Repository;
  /** A tag of the repository that leads to this image, if there is one. */
  readonly tag: string | undefined;
}

/** What a target's folder should contain. */
export interface Delivery {
  /**
   * Whether the image itself is delivered: as image.tar, or as `image/`, an OCI layout, if `outputOci` is set or it
   * isn't a single image.
   */
  readonly imageTar: boolean;
  readonly outputOci: boolean;
  readonly unpackRootfs: boolean;
  /** If set, only the image of this platform is delivered. */
  readonly platform: Platform | undefined;
}

/** One target of a build, as it was stored or built. */
export interface TargetContent extends Delivery {
  /** Undefined if the image is not in a registry. */
  readonly place: RegistryPlace | undefined;
  readonly tree: ImageTree;
  readonly blobs: Blobs;
  /** Whether every layer is known to have the diff ID that its image's config says. */
  readonly layersAreProven: boolean;
  readonly step: StepContext;
  /** The text of `build.json`, if the build has a record. */
  readonly record: string | undefined;
}

/** A target and the decision about what is delivered. The files of the delivery are written from it. */
export interface DecidedTarget {
  readonly step: StepContext;
  readonly place: RegistryPlace | undefined;
  /** The config digest of a single image, else the digest of the index. */
  readonly digest: Digest;
  /** The digest of the manifest or index by which the image is pulled. */
  readonly top: Digest;
  readonly record: string | undefined;
  /** If undefined, only what is known without the image is delivered. */
  readonly image: DecidedImage | undefined;
}

export interface DecidedImage {
  readonly tree: ImageTree;
  readonly blobs: Blobs;
  /** {@link TargetContent.layersAreProven} */
  readonly layersAreProven: boolean;
  readonly form: "image.tar" | "image" | "none";
  readonly unpackRootfs: boolean;
  /**
   * The image that metadata.json, labels.json and rootfs describe. Undefined if there are several images and none
   * is unpacked.
   */
  readonly described: Image | undefined;
}

/**
 * Decides what is delivered of a target. Pure.
 * @throws UserError if the image doesn't have the platform
 */
export function decideTarget(target: TargetContent): DecidedTarget {
  const { step, place, blobs, layersAreProven, platform, unpackRootfs, record } = target;
  const own = hostPlatform(step.arch);
  const { images } = target.tree;
  const tree = platform === undefined ? target.tree : singleImage(choosePlatform(images, platform, own));
  const isOne = isSingleImage(tree);
  return {
    step,
    place,
    digest: versionOf(tree),
    top: tree.top.digest,
    record,
    image: {
      tree,
      blobs,
      layersAreProven,
      form: imageForm(target, isOne),
      unpackRootfs,
      described: isOne || unpackRootfs ? choosePlatform(tree.images, undefined, own) : undefined,
    },
  };
}

function imageForm({ imageTar, outputOci }: Delivery, isOne: boolean): DecidedImage["form"] {
  if (!imageTar) return "none";
  return outputOci || !isOne ? "image" : "image.tar";
}
