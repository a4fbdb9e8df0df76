import { dirname, join } from "node:path";
import { UserError } from "../host/errors.ts";
import type { StepContext } from "../host/step-context.ts";
import type { NearBlobs } from "../image/arriving-blob.ts";
import type { Blobs } from "../image/blobs.ts";
import type { Image } from "../image/image-tree.ts";
import type { EarlyThreads } from "../rootfs/threads/early-threads.ts";
import { unpackRootfs } from "../rootfs/unpack.ts";
import { type FetchedBlobs, fetchAhead } from "./fetch-ahead.ts";
import type { DecidedTarget } from "./target-content.ts";

/** What is at hand for unpacking. */
export interface AtHand {
  /** The layers on this disk, if the image was written before: layers from a registry are then not fetched twice. */
  readonly near: NearBlobs | undefined;
  /** Threads that may unpack. */
  readonly threads: EarlyThreads | undefined;
}

/** Unpacks the image's root filesystem to `path`, if it is delivered. */
export async function writeRootfs(
  { image, step }: DecidedTarget,
  path: string,
  { near, threads }: AtHand,
): Promise<void> {
  if (image?.described === undefined || !image.unpackRootfs) return;
  const { described, blobs, layersAreProven } = image;
  const rootfs = { step, destination: path, layersAreProven, threads };
  await step.trace("write rootfs/", () => unpackNear(described, blobs, { rootfs, near }));
}

/** What is unpacked where. */
interface Rootfs {
  readonly step: StepContext;
  readonly destination: string;
  readonly layersAreProven: boolean;
  readonly threads: EarlyThreads | undefined;
}

async function unpackNear(
  described: Image,
  blobs: Blobs,
  { rootfs, near }: { readonly rootfs: Rootfs; readonly near: NearBlobs | undefined },
): Promise<void> {
  const { layers } = described.manifest;
  const here = layers.every((layer) => blobs.file(layer) !== undefined) ? blobs : near;
  if (here !== undefined) {
    await unpack(described, here, rootfs);
    return;
  }
  const fetching = { folder: join(dirname(rootfs.destination), ".layers"), signal: rootfs.step.signal };
  await using fetched = await fetchAhead(blobs, layers, fetching);
  await unpack(described, fetched, rootfs, fetched.release);
}

async function unpack(
  image: Image,
  blobs: NearBlobs,
  { step, destination, layersAreProven, threads }: Rootfs,
  release?: FetchedBlobs["release"],
): Promise<void> {
  const { layers: descriptors } = image.manifest;
  const layers = descriptors.map((descriptor, index) => {
    const diffId = image.config.rootfs.diff_ids[index];
    if (diffId === undefined)
      throw new UserError(`image ${image.manifest.config.digest}: no diff ID for layer ${index + 1}`);
    return {
      descriptor,
      diffId,
      isProven: layersAreProven,
      file: blobs.file(descriptor),
      arriving: blobs.arriving?.(descriptor),
      open: (signal: AbortSignal) => blobs.open(descriptor, signal),
      // An image may have the same layer twice.
      unpacked: descriptors.slice(index + 1).some(({ digest }) => digest === descriptor.digest)
        ? undefined
        : () => release?.(descriptor),
    };
  });
  await unpackRootfs({ layers, destination, step, threads });
}
