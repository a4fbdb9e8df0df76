import { constants, copyFile, link, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { besideOf, flushFolder, writeFlushed, writeFlushedBytes } from "../host/atomic-write.ts";
import { writeProblem } from "../host/disk-errors.ts";
import { mapAtOnce } from "../host/map-at-once.ts";
import { sum } from "../host/sum.ts";
import type { Blobs } from "./blobs.ts";
import type { Descriptor } from "./descriptor.ts";
import type { ImageTree } from "./image-tree.ts";
import { blobPath } from "./layout.ts";
import { isManifestType, mediaTypes } from "./media-types.ts";
import { type ReachableBlob, reachableBlobs } from "./reachable.ts";
import { formatReference, type Reference } from "./reference.ts";
import { drain, verifiedFile, verifiedPieces } from "./verify.ts";

/** Passes the pieces of a blob on, and may throw at the end. A piece is valid until the next is requested. */
export type Inspect = (
  descriptor: Descriptor,
  pieces: AsyncIterable<Uint8Array>,
) => AsyncGenerator<Uint8Array, void, undefined>;

export interface LayoutToWrite {
  readonly tree: ImageTree;
  readonly blobs: Blobs;
  /** Must not exist, or be empty. The folder above it must exist. */
  readonly folder: string;
  /** The image's names, if it has any. Only the first is written into the layout. */
  readonly tags: readonly Reference[];
  /** Every blob's verified pieces pass through this. By default they pass unchanged. */
  readonly inspect?: Inspect | undefined;
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
    await mapAtOnce(all, { limit: placedAtOnce, signal }, (blob, either) =>
      placeBlob(blob, join(beside, blobPath(blob.descriptor.digest)), { ...layout, signal: either }),
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
  { blobs, signal, onBytes, inspect = handOn }: LayoutToWrite,
): Promise<void> {
  if (bytes !== undefined) return writeFlushedBytes(path, bytes);
  if (await shareFile(blobs, descriptor, path)) {
    return drain(
      inspect(descriptor, verifiedFile(path, descriptor, { where: blobs.where, onBytes, signal })),
    );
  }
  const pieces = inspect(descriptor, verifiedPieces(blobs, descriptor, { onBytes, signal }));
  await writeFlushed(path, (file) => file.writeFile(pieces, { signal }));
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

/** An {@link Inspect} that doesn't check anything. */
export async function* handOn(
  _: Descriptor,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* pieces;
}
