import type { BuildVersion } from "../image/build-version.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { TargetName } from "../image/target-name.ts";

/** One built target: its stage's name (empty for the Dockerfile's last stage) and the image or image index it gave. */
export interface BuiltTarget {
  readonly name: string;
  readonly descriptor: Descriptor;
}

/** One built beside the main target, which a get delivers into a folder of its name. */
export interface AdditionalTarget extends BuiltTarget {
  readonly name: TargetName;
  /** Tags that the put pointed at this image; they may have moved on since. */
  readonly tags: readonly string[];
}

/** One row of what Concourse shows beside a version. */
export interface MetadataField {
  /** In snake_case, so that pipelines can use it as `((.:name.field))`. */
  readonly name: string;
  readonly value: string;
}

/** A whole build, as the build index records it: the main target first. */
export interface Build {
  /** As the put answered it. */
  readonly version: BuildVersion;
  readonly targets: readonly [BuiltTarget, ...AdditionalTarget[]];
  readonly put: PutRecord;
}

/** The put that stored a build, the last one where there were several. */
export interface PutRecord {
  /** Tells it from every other. */
  readonly id: string;
  /** When it stored the build, in milliseconds since 1970. */
  readonly at: number;
  /** Of the put's tags; `keep` counts the builds of each by themselves. */
  readonly variant: string | undefined;
  /** What a get repeats. */
  readonly metadata: readonly MetadataField[];
}
