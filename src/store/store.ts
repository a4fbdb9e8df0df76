import type { Blobs } from "../image/blobs.ts";
import type { BuildVersion } from "../image/build-version.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { Exporter } from "../image/exporter.ts";
import type { ImageTree } from "../image/image-tree.ts";
import type { AdditionalTarget, Build, BuiltTarget, PutRecord } from "./build.ts";

/**
 * Keeps builds. A build is there whole or not at all: nothing can be fetched before {@link Stage.commit} has
 * written the tag (registry) or renamed the folder (directory), and that is its last act.
 */
export interface Store extends AsyncDisposable {
  /** For messages: `directory /builds` or `repository registry.example/app`. */
  readonly where: string;
  /** Cheap check, before a build starts, that the store can be written: folder, login, reachability. */
  prepare(signal: AbortSignal): Promise<void>;
  /** The tags of the repository; none of a repository that isn't there yet, nor of a directory. */
  tags(signal: AbortSignal): Promise<readonly string[]>;
  /** Opens a place for one build to arrive in; disposing of it without a commit leaves nothing that a get would serve. */
  stage(signal: AbortSignal): Promise<Stage>;
  /**
   * The build index of this version alone, in one request: nothing in it is verified.
   * @throws UserError when there is none
   */
  read(version: BuildVersion, signal: AbortSignal): Promise<Build>;
  /**
   * The build of this version, with the chain from tag or folder to config verified against the version, for every
   * target.
   * @throws UserError when there is none, or when what is there is not what the version names
   */
  fetch(version: BuildVersion, signal: AbortSignal): Promise<StoredBuild>;
  /** Whether a tag of the repository leads to this manifest or index now; never in a directory. */
  isTagged(tag: string, descriptor: Descriptor, signal: AbortSignal): Promise<boolean>;
}

export interface Stage extends AsyncDisposable {
  /** Where the solve named `key` (one per target and node) must put its result. */
  exporter(key: string): Promise<Exporter>;
  /** The blobs that have arrived by those exporters. */
  readonly blobs: Blobs;
  /** Adds a manifest or index that we made (a merged index), and answers its descriptor. */
  add(document: Uint8Array, mediaType: string): Promise<Descriptor>;
  /** The build that is stored under the name of this version: undefined when there is none, or one that can't be read. */
  earlier(version: BuildVersion): Promise<Build | undefined>;
  /**
   * Stores the build, and tags its main image with `tags` and the additional ones with theirs; the version's own tag
   * or folder comes last.
   */
  commit(build: Build, tags: readonly string[]): Promise<void>;
}

/** A build that can be read until it is disposed of. */
export interface StoredBuild extends AsyncDisposable {
  readonly blobs: Blobs;
  readonly targets: readonly [StoredTarget<BuiltTarget>, ...StoredTarget<AdditionalTarget>[]];
  readonly put: PutRecord;
}

/** A target with what it leads to, verified against the version. */
export type StoredTarget<T extends BuiltTarget> = T & { readonly tree: ImageTree };
