import type { StepContext } from "../host/step-context.ts";
import type { Blobs } from "../image/blobs.ts";
import type { Platform } from "../image/descriptor.ts";
import type { Digest } from "../image/digest.ts";
import { type Image, type ImageTree, isSingleImage, singleImage, versionOf } from "../image/image-tree.ts";
import { choosePlatform, hostPlatform } from "../image/platform.ts";
import type { Repository } from "../image/reference.ts";

/** Where a registry has an image. */
export interface RegistryPlace {
  readonly repository: Repository;
  /** A tag of the repository that leads to this image, if there is one. */
  readonly tag: string | undefined;
}

/** What one target's folder shall hold. */
export interface Delivery {
  /** The image itself: as image.tar, or as `image/`, an OCI layout, when that is asked for or there are several. */
  readonly imageTar: boolean;
  readonly outputOci: boolean;
  readonly unpackRootfs: boolean;
  /** Narrows an index of several platforms to one image. */
  readonly platform: Platform | undefined;
}

/** One target of a build, as it was stored or built. */
export interface TargetContent extends Delivery {
  /** Undefined when no registry has the image. */
  readonly place: RegistryPlace | undefined;
  readonly tree: ImageTree;
  readonly blobs: Blobs;
  readonly step: StepContext;
}

/** One target with what is delivered of it decided: what the table of delivered files is written from. */
export interface DecidedTarget {
  readonly step: StepContext;
  readonly place: RegistryPlace | undefined;
  /** The config digest of the one image, or the digest of the index of several platforms. */
  readonly digest: Digest;
  /** Of the manifest or index that the image is pulled by. */
  readonly top: Digest;
  /** Undefined: only what is known without the image is delivered. */
  readonly image: DecidedImage | undefined;
}

export interface DecidedImage {
  readonly tree: ImageTree;
  readonly blobs: Blobs;
  readonly form: "image.tar" | "image" | "none";
  readonly unpackRootfs: boolean;
  /** The one image that metadata.json, labels.json and rootfs are about; undefined when there are several and none is unpacked. */
  readonly described: Image | undefined;
}

/**
 * Decides what is delivered of a target. Pure.
 * @throws UserError when the image has no such platform
 */
export function decideTarget(target: TargetContent): DecidedTarget {
  const { step, place, blobs, platform, unpackRootfs } = target;
  const own = hostPlatform(step.arch);
  const { images } = target.tree;
  const tree = platform === undefined ? target.tree : singleImage(choosePlatform(images, platform, own));
  const isOne = isSingleImage(tree);
  return {
    step,
    place,
    digest: versionOf(tree),
    top: tree.top.digest,
    image: {
      tree,
      blobs,
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
