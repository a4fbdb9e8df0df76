import type { FileHandle } from "node:fs/promises";
import type { EarlyFlushes } from "../host/atomic-write.ts";
import type { ArrivingBlob, Bringing } from "./arriving-blob.ts";
import type { Blobs } from "./blobs.ts";
import { BlobCheck } from "./verify.ts";

/**
 * Checks a blob in its file, while it arrives there.
 * @param where names the source in messages
 * @throws UserError unless it is what it should be; or the failure with which it stopped arriving
 */
export type CheckBlob = (blob: ArrivingBlob, where: string, signal: AbortSignal) => Promise<void>;

export interface CheckedBringing extends Bringing {
  /** By default {@link checkDigest}. */
  readonly check?: CheckBlob | undefined;
  /** Those of everything that is written with the blob. */
  readonly flushes: EarlyFlushes;
}

/**
 * Brings a blob into an open file, and checks it meanwhile. Its bytes are flushed to the disk as soon as they are
 * there: the disk then writes while the processors check, and little is left for a flush at the end.
 * @throws what prevents that. Nothing is being written or read any more then
 */
export async function bringChecked(
  blob: ArrivingBlob,
  blobs: Blobs,
  file: FileHandle,
  { check = checkDigest, flushes, ...bringing }: CheckedBringing,
): Promise<void> {
  const stop = new AbortController();
  const bringAndFlush = async () => {
    await blob.bring(blobs, file, bringing);
    await flushes.flush(file);
  };
  const bring = bringAndFlush().catch((thrown: unknown) => {
    blob.end(thrown);
    // The check may still wait for a thread, which others hold.
    stop.abort(thrown);
    throw thrown;
  });
  const checking = check(blob, blobs.where, AbortSignal.any([bringing.signal, stop.signal]));
  const outcomes = await Promise.allSettled([bring, checking]);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

/** Checks a blob's size and digest in this thread. */
export async function checkDigest(blob: ArrivingBlob, where: string, signal: AbortSignal): Promise<void> {
  const check = new BlobCheck(blob.descriptor, where);
  for await (const piece of blob.open() as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    check.add(piece);
  }
  check.end();
}
