import type { Blobs } from "../image/blobs.ts";
import type { BuildVersion } from "../image/build-version.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { Exporter } from "../image/exporter.ts";
import type { ImageTree } from "../image/image-tree.ts";
import type { AdditionalTarget, Build, BuiltTarget, PutRecord } from "./build.ts";

/**
 * Keeps builds. A build is stored completely or not at all: it can't be fetched before {@link Stage.commit} has, as
 * its last act, written the tag (registry) or renamed the folder (directory).
 */
export interface Store extends AsyncDisposable {
  /** For messages: `directory /builds` or `repository registry.example/app`. */
  readonly where: string;
  /** A cheap check, before a build starts, that the store can be written to: folder, login, network. */
  prepare(signal: AbortSignal): Promise<void>;
  /** The tags of the repository. Empty if the repository doesn't exist yet, or the store is a directory. */
  tags(signal: AbortSignal): Promise<readonly string[]>;
  /** Opens a place that receives one build. If it is disposed of without a commit, a get finds nothing of it. */
  stage(signal: AbortSignal): Promise<Stage>;
  /**
   * The build index of this version, not verified. Takes one request.
   * @throws UserError if there is none
   */
  read(version: BuildVersion, signal: AbortSignal): Promise<Build>;
  /**
   * The build of this version. For every target, the chain from tag or folder to config is verified against the
   * version.
   * @throws UserError if there is none, or if what is stored doesn't match the version
   */
  fetch(version: BuildVersion, signal: AbortSignal): Promise<StoredBuild>;
  /** Whether a tag of the repository leads to this manifest or index now. Always false in a directory. */
  isTagged(tag: string, descriptor: Descriptor, signal: AbortSignal): Promise<boolean>;
}

export interface Stage extends AsyncDisposable {
  /** Where the solve named `key` (one per target and node) must put its result. */
  exporter(key: string): Promise<Exporter>;
  /** The blobs that have arrived through those exporters. */
  readonly blobs: Blobs;
  /** Adds a manifest or index that we made (a merged index), and returns its descriptor. */
  add(document: Uint8Array, mediaType: string): Promise<Descriptor>;
  /**
   * The build that is stored under this version. Undefined if there is none, or if it is damaged: then the commit
   * replaces it.
   */
  earlier(version: BuildVersion): Promise<Build | undefined>;
  /**
   * Stores the build, and tags its main image with `tags` and the additional images with their own tags. The
   * version's own tag or folder is written last.
   */
  commit(build: ReadBuild, tags: readonly string[]): Promise<void>;
}

/** A build whose image trees have been read from the stage. */
export type ReadBuild = Omit<Build, "targets"> & Pick<StoredBuild, "targets">;

/** A build that can be read until it is disposed of. */
export interface StoredBuild extends AsyncDisposable {
  readonly blobs: Blobs;
  readonly targets: readonly [StoredTarget<BuiltTarget>, ...StoredTarget<AdditionalTarget>[]];
  readonly put: PutRecord;
  /** Whether the put has proven that every layer has its diff ID, and the version vouches for that. */
  readonly layersAreProven: boolean;
}

/** A target and its image tree, verified against the version. */
export type StoredTarget<T extends BuiltTarget> = T & { readonly tree: ImageTree };
