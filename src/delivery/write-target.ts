import { join } from "node:path";
import { writeSmallFile } from "../host/atomic-write.ts";
import { UserError } from "../host/errors.ts";
import { formatBytes } from "../host/format.ts";
import { reportProgress } from "../host/progress.ts";
import type { StepContext } from "../host/step-context.ts";
import type { Blobs } from "../image/blobs.ts";
import type { Platform } from "../image/descriptor.ts";
import { type Image, type ImageTree, singleImage, versionOf } from "../image/image-tree.ts";
import { layoutBlobs } from "../image/layout.ts";
import { writeLayout } from "../image/layout-writer.ts";
import { choosePlatform, hostPlatform } from "../image/platform.ts";
import { formatRepository, type Reference, type Repository } from "../image/reference.ts";
import { unpackRootfs } from "../rootfs/unpack.ts";
import { fetchAhead } from "./fetch-ahead.ts";
import { imageLabels, imageMetadata } from "./metadata.ts";

/** What one target's folder shall hold. */
export interface Delivery {
  /** The image itself: as image.tar, or as `image/`, an OCI layout, when that is asked for or there are several. */
  readonly imageTar: boolean;
  readonly outputOci: boolean;
  readonly unpackRootfs: boolean;
  /** Narrows an index of several platforms to one image. */
  readonly platform: Platform | undefined;
}

/** Where a registry has an image. */
export interface RegistryPlace {
  readonly repository: Repository;
  /** A tag of the repository that leads to this image, if there is one. */
  readonly tag: string | undefined;
}

export interface TargetContent extends Delivery {
  /** Where a registry has the image; undefined when none has it. */
  readonly place: RegistryPlace | undefined;
  readonly tree: ImageTree;
  readonly blobs: Blobs;
  readonly step: StepContext;
}

/**
 * Writes one target's files into a folder: `image.tar` or `image/`, `digest`, `labels.json`, `repository` and `tag`
 * where known, and `rootfs/` with `metadata.json`. `digest` holds the digest of what lies beside it: the config
 * digest of the one image, or the digest of the index when `image/` holds several platforms.
 * @throws UserError when the image isn't what its digests say, or has no such platform
 */
export async function writeTarget(target: TargetContent, folder: string): Promise<void> {
  const { blobs, step, platform } = target;
  const own = hostPlatform(step.arch);
  const { images } = target.tree;
  const tree = platform === undefined ? target.tree : singleImage(choosePlatform(images, platform, own));
  const isDescribed = tree.images.length === 1 || target.unpackRootfs;
  const image = isDescribed ? choosePlatform(tree.images, undefined, own) : undefined;
  const written = target.imageTar ? await writeImage({ ...target, tree }, folder) : undefined;
  await writeSmallFile(join(folder, "digest"), versionOf(tree));
  await writePlace(target.place, folder);
  if (image === undefined) return;
  await writeSmallFile(join(folder, "metadata.json"), JSON.stringify(imageMetadata(image.config)));
  await writeSmallFile(join(folder, "labels.json"), JSON.stringify(imageLabels(image.config)));
  if (!target.unpackRootfs) return;
  const { layers } = image.manifest;
  const isHere = layers.every((layer) => blobs.file(layer) !== undefined);
  const rootfs = { step, destination: join(folder, "rootfs") };
  // What came from a registry for the image is here now, and isn't fetched twice.
  if (isHere || written !== undefined) return unpack(image, isHere ? blobs : (written ?? blobs), rootfs);
  const fetching = { folder: join(folder, ".layers"), signal: step.signal };
  await using fetched = await fetchAhead(blobs, layers, fetching);
  await unpack(image, fetched, rootfs);
}

/** Writes `repository` and `tag`, as far as they are known. They end without a newline, as the registry-image resource's do. */
export async function writePlace(place: RegistryPlace | undefined, folder: string): Promise<void> {
  if (place === undefined) return;
  const { repository, tag } = place;
  await writeSmallFile(join(folder, "repository"), formatRepository(repository));
  if (tag !== undefined) await writeSmallFile(join(folder, "tag"), tag);
}

/** Writes the image itself. @returns its layers, where they lie now */
async function writeImage(target: TargetContent, folder: string): Promise<Blobs> {
  const { tree, blobs, step } = target;
  const common = { blobs, tags: namesOf(target), signal: step.signal };
  const [image, ...others] = tree.images;
  if (target.outputOci || others.length > 0) {
    const layout = join(folder, "image");
    await reported("image/", tree, step, (onBytes) =>
      writeLayout({ ...common, tree, folder: layout, onBytes }),
    );
    return layoutBlobs(layout);
  }
  const file = join(folder, "image.tar");
  const { writeImageTar } = await import("./image-tar-writer.ts");
  return reported("image.tar", tree, step, (onBytes) => writeImageTar({ ...common, image, file, onBytes }));
}

/** Does what writes an image, and tells how far it is when that takes long. */
async function reported<T>(
  what: string,
  { images }: ImageTree,
  { log }: StepContext,
  write: (onBytes: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  const layers = new Map(
    images.flatMap(({ manifest }) => manifest.layers).map((each) => [each.digest, each]),
  );
  const total = [...layers.values()].reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  using progress = reportProgress(
    log,
    () => `writing ${what}: ${formatBytes(done)} of ${formatBytes(total)}`,
  );
  const result = await write((bytes) => {
    done += bytes;
  });
  if (progress.spoke()) log.line(`wrote ${what}: ${formatBytes(done)}`);
  return result;
}

function namesOf({ place }: TargetContent): readonly Reference[] {
  return place?.tag === undefined ? [] : [{ ...place.repository, tag: place.tag, digest: undefined }];
}

async function unpack(
  image: Image,
  blobs: Blobs,
  { step, destination }: { readonly step: StepContext; readonly destination: string },
): Promise<void> {
  const layers = image.manifest.layers.map((descriptor, index) => {
    const diffId = image.config.rootfs.diff_ids[index];
    if (diffId === undefined)
      throw new UserError(`image ${image.manifest.config.digest}: no diff ID for layer ${index + 1}`);
    return {
      descriptor,
      diffId,
      // Asked when it is the layer's turn: by then it may have come.
      get file() {
        return blobs.file(descriptor);
      },
      open: (signal: AbortSignal) => blobs.open(descriptor, signal),
    };
  });
  await unpackRootfs({ layers, destination, step });
}
