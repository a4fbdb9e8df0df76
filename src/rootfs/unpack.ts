import type { Readable } from "node:stream";
import type { Log } from "../host/log.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { DiffId } from "../image/digest.ts";

/** One layer of the image, lowest first in a list: its compressed blob and the digest of its plain bytes. */
export interface Layer {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
  /** The compressed blob, unverified. */
  open(signal: AbortSignal): Promise<Readable>;
  /** The blob's file, where it lies on a local disk. */
  readonly file: string | undefined;
}

export interface UnpackOptions {
  readonly layers: readonly Layer[];
  /** Must not exist, or be empty; it is removed again if anything fails. */
  readonly destination: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}
