import type { BuildVersion } from "../image/build-version.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { Digest } from "../image/digest.ts";
import type { TargetName } from "../image/target-name.ts";

/**
 * One built target: the name of its stage (empty for the Dockerfile's last stage) and the resulting image or image
 * index.
 */
export interface BuiltTarget {
  readonly name: string;
  readonly descriptor: Descriptor;
}

/** A target built besides the main target. A get delivers it into a folder of its name. */
export interface AdditionalTarget extends BuiltTarget {
  readonly name: TargetName;
  /** Tags that the put pointed at this image. They may have been moved since. */
  readonly tags: readonly string[];
}

/** One row of the metadata that Concourse shows with a version. */
export interface MetadataField {
  /** In snake_case, so that pipelines can use it as `((.:name.field))`. */
  readonly name: string;
  readonly value: string;
}

/** A whole build, as the build index records it. The main target comes first. */
export interface Build {
  /** The version that the put returned. */
  readonly version: BuildVersion;
  readonly targets: readonly [BuiltTarget, ...AdditionalTarget[]];
  readonly put: PutRecord;
}

/** The put that stored a build; the last one if several stored it. */
export interface PutRecord {
  /** A unique id. */
  readonly id: string;
  /** When it stored the build, in milliseconds since 1970. */
  readonly at: number;
  /** The variant of the put's tags. `keep` counts the builds of each variant separately. */
  readonly variant: string | undefined;
  /** The metadata that a get shows again. */
  readonly metadata: readonly MetadataField[];
  /**
   * The digest of the build's layers (`layersDigest`), if the put knows that each has the diff ID that its image's config
   * says.
   */
  readonly layers: Digest | undefined;
  /** The text of the build's record, `build.json`. Undefined if there is none, as in builds of earlier releases. */
  readonly record: string | undefined;
}
