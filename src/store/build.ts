import type { Descriptor } from "../image/descriptor.ts";
import type { Digest } from "../image/digest.ts";
import type { TargetName } from "../image/target-name.ts";

/** One built target: its stage's name (empty for the Dockerfile's last stage) and the image or image index it gave. */
export interface BuiltTarget {
  readonly name: string;
  readonly descriptor: Descriptor;
}

/** One built beside the main target, which a get delivers into a folder of its name. */
export interface AdditionalTarget extends BuiltTarget {
  readonly name: TargetName;
}

/** What the put asked the get to deliver; get params override it. */
export interface DeliveryDefaults {
  readonly unpackRootfs: boolean;
  readonly outputOci: boolean;
}

/** A whole build, as the build index records it: the main target first. */
export interface Build {
  /** The version's digest: config digest of the one runnable image, or digest of the index of several platforms. */
  readonly version: Digest;
  readonly targets: readonly [BuiltTarget, ...AdditionalTarget[]];
  readonly delivery: DeliveryDefaults;
}
