import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeProblem } from "../host/disk-errors.ts";
import { mapAtOnce } from "../host/map-at-once.ts";
import { ArrivingBlob, type NearBlobs } from "../image/arriving-blob.ts";
import type { Blobs } from "../image/blobs.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { type Digest, hexOf } from "../image/digest.ts";
import { BlobCheck } from "../image/verify.ts";

export interface FetchAheadOptions {
  /** A folder to make for the bytes. It is removed when the returned blobs are disposed of. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

const fetchedAtOnce = 4;

export interface FetchedBlobs extends NearBlobs, AsyncDisposable {
  /** Removes a wanted blob's file, which has been read and isn't needed any more. */
  readonly release: (descriptor: Descriptor) => Promise<void>;
}

/**
 * Returns the same blobs, but starts to fetch the wanted ones into files, in their order, several at a time. A
 * reader of such a blob gets its bytes as they arrive, and any number of readers share one fetch. They are hashed as
 * they arrive, by a thread that has less to do than the one that decompresses, and nobody else reaches the files.
 */
export async function fetchAhead(
  blobs: Blobs,
  wanted: readonly Descriptor[],
  { folder, signal }: FetchAheadOptions,
): Promise<FetchedBlobs> {
  await mkdir(folder, { mode: 0o700 });
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const coming = new Map<Digest, ArrivingBlob>();
  for (const descriptor of wanted) {
    const place = { path: join(folder, hexOf(descriptor.digest)), start: 0 };
    coming.set(descriptor.digest, new ArrivingBlob(descriptor, place, new BlobCheck(descriptor, "layer")));
  }
  const fetching = fetchAll([...coming.values()], blobs, either);
  return {
    where: blobs.where,
    open: async (descriptor, reading) =>
      coming.get(descriptor.digest)?.open() ?? (await blobs.open(descriptor, reading)),
    file: (descriptor) => (coming.has(descriptor.digest) ? undefined : blobs.file(descriptor)),
    arriving: ({ digest }) => coming.get(digest),
    kept: true,
    async release({ digest }) {
      const path = coming.get(digest)?.place.path;
      coming.delete(digest);
      if (path !== undefined) await rm(path, { force: true });
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await fetching;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Never rejects: the readers of a blob get its error. */
async function fetchAll(wanted: readonly ArrivingBlob[], blobs: Blobs, signal: AbortSignal): Promise<void> {
  const fetch = async (blob: ArrivingBlob) => {
    const { descriptor, place } = blob;
    try {
      await using file = await open(place.path, "wx", 0o600);
      await blob.bring(blobs, file, { signal });
    } catch (thrown) {
      blob.end(await writeProblem(thrown, place.path, descriptor.size));
    }
  };
  await mapAtOnce(wanted, { limit: fetchedAtOnce, signal }, fetch).catch(() => {});
  // After an abort some have not begun.
  for (const blob of wanted) blob.end(signal.reason);
}
