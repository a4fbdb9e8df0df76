import type { Readable } from "node:stream";
import type { Descriptor } from "./descriptor.ts";

/**
 * Where the blobs of an image are: a layout folder or a repository of a registry. The bytes are not trusted yet.
 * Every reader of a blob must check its size and digest as the bytes pass (see `readDocument`, `verified`).
 */
export interface BlobSource {
  /** For messages: `directory /builds/…` or `repository registry.example/app`. */
  readonly where: string;
  /** The blob's bytes as stored. Errors of the source arrive on the stream. */
  open(descriptor: Descriptor, signal: AbortSignal): Promise<Readable>;
  /**
   * The same as {@link open}, in pieces of which several come at a time, if that is quicker than a stream. It is not for
   * documents.
   */
  readonly pieces?:
    | ((descriptor: Descriptor, signal: AbortSignal) => AsyncIterable<readonly Buffer[]>)
    | undefined;
  /** The blob's file if it is on a local disk, else undefined. It may be linked or mapped, but never written. */
  file(descriptor: Descriptor): string | undefined;
}

export interface Blobs extends BlobSource {
  /**
   * Whether the files outlive the step, as a store's do. If so, nothing that is delivered may be a hard link to one
   * of them: writing to it would change the store.
   */
  readonly kept: boolean;
}
