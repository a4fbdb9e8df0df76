import { constants, copyFile, link, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  besideOf,
  EarlyFlushes,
  flushFolder,
  writeFlushed,
  writeFlushedBytes,
} from "../host/atomic-write.ts";
import { writeProblem } from "../host/disk-errors.ts";
import { mapAtOnce } from "../host/map-at-once.ts";
import { sum } from "../host/sum.ts";
import { ArrivingBlob } from "./arriving-blob.ts";
import type { Blobs } from "./blobs.ts";
import { bringChecked, type CheckBlob, checkDigest } from "./bring-checked.ts";
import type { Descriptor } from "./descriptor.ts";
import type { ImageTree } from "./image-tree.ts";
import { blobPath } from "./layout.ts";
import { isManifestType, mediaTypes } from "./media-types.ts";
import { type ReachableBlob, reachableBlobs } from "./reachable.ts";
import { formatReference, type Reference } from "./reference.ts";

export interface LayoutToWrite {
  readonly tree: ImageTree;
  readonly blobs: Blobs;
  /** Must not exist, or be empty. The folder above it must exist. */
  readonly folder: string;
  /** The image's names, if it has any. Only the first is written into the layout. */
  readonly tags: readonly Reference[];
  /** Checks every blob that isn't in memory. By default only its size and digest are checked. */
  readonly check?: CheckBlob | undefined;
  /** Called with the size of each piece of a blob that has been placed. Documents that are in memory don't count. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal: AbortSignal;
}

/** `oci-layout` (OCI image-spec, image-layout.md#oci-layout-file). */
export const layoutMarker: Uint8Array = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

const placedAtOnce = 4;

/**
 * Writes an OCI image layout with everything below the tree's top, attestations included. `index.json` has one
 * entry, the top. If that is a manifest, `single-image-digest` holds its digest: the registry-image resource needs
 * this file to push a layout that isn't an index.
 *
 * Every blob is verified: as it is copied, or, if the file is shared, at its new path. The layout is written into a
 * temporary folder, flushed to the disk and then renamed.
 */
export async function writeLayout(layout: LayoutToWrite): Promise<void> {
  const { tree, blobs, folder, tags, signal } = layout;
  const all = await reachableBlobs(blobs, tree, signal);
  const beside = besideOf(folder);
  try {
    await mkdir(join(beside, "blobs/sha256"), { recursive: true });
    const flushes = new EarlyFlushes();
    // The largest come first: a small one keeps a single core busy at the end.
    const largestFirst = all.toSorted((one, other) => other.descriptor.size - one.descriptor.size);
    await mapAtOnce(largestFirst, { limit: placedAtOnce, signal }, (blob, either) =>
      placeBlob(blob, join(beside, blobPath(blob.descriptor.digest)), { ...layout, flushes, signal: either }),
    );
    await writeFlushedBytes(join(beside, "oci-layout"), layoutMarker);
    await writeFlushedBytes(join(beside, "index.json"), layoutIndex(tree.top, tags));
    if (isManifestType(tree.top.mediaType)) {
      await writeFlushedBytes(join(beside, "single-image-digest"), Buffer.from(tree.top.digest));
    }
    for (const part of ["blobs/sha256", "blobs", "."]) await flushFolder(join(beside, part));
    await rename(beside, folder);
    await flushFolder(dirname(folder));
  } catch (error) {
    const size = sum(all.map(({ descriptor }) => descriptor.size));
    const problem = await writeProblem(error, folder, size);
    await rm(beside, { recursive: true, force: true });
    throw problem;
  }
}

/**
 * The `index.json` of a layout that holds one image or index. Its first name is given in the two ways in which
 * readers look for it: the tag as in OCI (annotations.md, `org.opencontainers.image.ref.name`), and the full
 * reference as in containerd. Further names are left out: with an entry for each name, readers would have to choose
 * one.
 */
export function layoutIndex(top: Descriptor, [name]: readonly Reference[]): Uint8Array {
  const { mediaType, digest, size, platform } = top;
  const annotations = {
    ...top.annotations,
    ...(name && { "io.containerd.image.name": formatReference({ ...name, digest: undefined }) }),
    ...(name?.tag !== undefined && { "org.opencontainers.image.ref.name": name.tag }),
  };
  const entry = {
    mediaType,
    digest,
    size,
    ...(platform && { platform }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
  };
  return Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [entry] }),
  );
}

async function placeBlob(
  { descriptor, bytes }: ReachableBlob,
  path: string,
  {
    blobs,
    signal,
    onBytes,
    flushes,
    check = checkDigest,
  }: LayoutToWrite & { readonly flushes: EarlyFlushes },
): Promise<void> {
  if (bytes !== undefined) return writeFlushedBytes(path, bytes);
  const place = { path, start: 0 };
  if (await shareFile(blobs, descriptor, path)) {
    await check(ArrivingBlob.inFile(descriptor, place, true), blobs.where, signal);
    onBytes?.(descriptor.size);
    return;
  }
  const blob = new ArrivingBlob(descriptor, place);
  await writeFlushed(path, (file) => bringChecked(blob, blobs, file, { check, onBytes, flushes, signal }));
}

/**
 * Makes `path` share the bytes of a blob's file without a copy. A reflink is tried first: changes to one file never
 * appear in the other. Otherwise a hard link is made, but only if the other name is removed with the step.
 * @returns false if neither is possible
 */
async function shareFile(blobs: Blobs, descriptor: Descriptor, path: string): Promise<boolean> {
  const stored = blobs.file(descriptor);
  if (stored === undefined) return false;
  try {
    await copyFile(stored, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
  } catch {
    // Not every filesystem has reflinks. Any other problem appears again when the blob is copied.
    // A file with two names already is part of another delivery, which this one must not change.
    if (blobs.kept || (await stat(stored)).nlink > 1) return false;
    try {
      await link(stored, path);
    } catch {
      return false;
    }
  }
  // The file has the mode of the original, which BuildKit makes with the umask of its daemon.
  await using file = await open(path, "r");
  await file.chmod(0o644);
  await file.sync();
  return true;
}
