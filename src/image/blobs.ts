import type { Readable } from "node:stream";
import type { Descriptor } from "./descriptor.ts";

/**
 * Where the blobs of an image are: a layout folder or a repository of a registry. What comes out is not yet
 * trusted: whoever reads a blob checks its size and digest as the bytes pass (see `readDocument`, `verified`).
 */
export interface Blobs {
  /** For messages: `directory /builds/…` or `repository registry.example/app`. */
  readonly where: string;
  /** The blob's bytes as stored. Errors of the source arrive on the stream. */
  open(descriptor: Descriptor, signal: AbortSignal): Promise<Readable>;
  /** The blob's file where it lies on a local disk (to be linked or mapped, never written), else undefined. */
  file(descriptor: Descriptor): string | undefined;
  /**
   * Whether its files outlive the step, as a store's do. Then nothing that is delivered may be the same file under
   * another name: whoever writes to it would write to the store.
   */
  readonly kept: boolean;
}
