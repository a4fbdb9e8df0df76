import type { Descriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";

/** One built target: its stage's name (empty for the Dockerfile's last stage) and the image or image index it gave. */
export interface BuiltTarget {
  readonly name: string;
  readonly descriptor: Descriptor;
}

/** See {@link isTargetName}. */
export const targetNamePattern = "[A-Za-z0-9][A-Za-z0-9_.-]{0,254}";

/**
 * Whether a text can name a stage (Dockerfile reference, `FROM … AS`; a number counts them). Such a name is also a
 * safe one for the folder that an additional target is delivered into: no slash, no dot in front.
 */
export function isTargetName(text: string): boolean {
  return new RegExp(`^${targetNamePattern}$`).test(text);
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
  readonly targets: readonly [BuiltTarget, ...BuiltTarget[]];
  readonly delivery: DeliveryDefaults;
}
