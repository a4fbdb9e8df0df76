import { mkdir, mkdtemp, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeProblem } from "../host/durable.ts";
import { UserError } from "../host/errors.ts";
import type { Host } from "../host/host.ts";
import { writeImageTar } from "../image/archive.ts";
import type { Blobs } from "../image/blobs.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { writeLayout } from "../image/layout-writer.ts";
import { imageLabels, imageMetadata } from "../image/metadata.ts";
import { choosePlatform, hostPlatform, parsePlatform } from "../image/platform.ts";
import { parseReference, type Reference } from "../image/reference.ts";
import { type Image, readTree, singleImage, versionOf } from "../image/resolve.ts";
import { unpackRootfs } from "../rootfs/unpack.ts";

/** What one target's folder shall hold. */
export interface Delivery {
  /** The image itself: as image.tar, or as `image/`, an OCI layout, when that is asked for or there are several. */
  readonly imageTar: boolean;
  readonly outputOci: boolean;
  readonly unpackRootfs: boolean;
  /** Narrows an index of several platforms to one image. */
  readonly platform: string | undefined;
  /** `registry.example/app`, when the image is there, and the tag by which it is. */
  readonly repository: string | undefined;
  readonly tag: string | undefined;
}

export interface DeliverTarget extends Delivery {
  readonly blobs: Blobs;
  readonly descriptor: Descriptor;
  /** What is delivered appears in it at the end, all at once. */
  readonly folder: string;
  readonly host: Host;
}

/**
 * Delivers images, each into its folder: `image.tar` or `image/`, `digest`, `labels.json`, `repository` and `tag`
 * where known, and `rootfs/` with `metadata.json`. `digest` holds the digest of what lies beside it: the config
 * digest of the one image, or the digest of the index when `image/` holds several platforms. Nothing of it is seen
 * before all of it is there.
 * @throws UserError when an image isn't what its digests say, or has no such platform; the folders stay as they were
 */
export async function deliverAll(targets: readonly DeliverTarget[]): Promise<void> {
  await using prepared = new AsyncDisposableStack();
  const folders: { readonly partial: string; readonly folder: string }[] = [];
  for (const target of targets) {
    const made = await mkdir(target.folder, { recursive: true });
    const partial = await mkdtemp(join(target.folder, ".partial-"));
    folders.push({ partial, folder: target.folder });
    prepared.defer(() => rm(made ?? partial, { recursive: true, force: true }));
    await write(target, partial).catch(async (thrown: unknown) => {
      throw await writeProblem(thrown, target.folder);
    });
  }
  for (const { partial, folder } of folders) {
    for (const name of await readdir(partial)) await rename(join(partial, name), join(folder, name));
    await rmdir(partial);
  }
  prepared.move();
}

async function write(target: DeliverTarget, folder: string): Promise<void> {
  const { blobs, host } = target;
  const tree = await readTree(blobs, target.descriptor, host.signal);
  const several = target.platform === undefined && tree.images.length > 1;
  const wanted = target.platform === undefined ? undefined : parsePlatform(target.platform, "platform");
  const chosen = () => choosePlatform(tree.images, wanted, hostPlatform(host.arch));
  const tags = namesOf(target);
  if (target.imageTar && (target.outputOci || several)) {
    const delivered = wanted === undefined ? tree : singleImage(chosen());
    await writeLayout({ tree: delivered, blobs, folder: join(folder, "image"), tags, signal: host.signal });
  } else if (target.imageTar) {
    await writeImageTar({
      image: chosen(),
      blobs,
      file: join(folder, "image.tar"),
      tags,
      signal: host.signal,
    });
  }
  await writeFile(join(folder, "digest"), several ? versionOf(tree) : chosen().manifest.config.digest);
  if (target.repository !== undefined) await writeFile(join(folder, "repository"), target.repository);
  if (target.tag !== undefined) await writeFile(join(folder, "tag"), target.tag);
  if (!several || target.unpackRootfs) await describe(chosen(), folder);
  if (target.unpackRootfs) await unpack(chosen(), target, join(folder, "rootfs"));
}

function namesOf({ repository, tag }: Delivery): readonly Reference[] {
  return repository === undefined ? [] : [parseReference(`${repository}:${tag ?? "latest"}`, "repository")];
}

async function describe(image: Image, folder: string): Promise<void> {
  await writeFile(join(folder, "metadata.json"), JSON.stringify(imageMetadata(image.config)));
  await writeFile(join(folder, "labels.json"), JSON.stringify(imageLabels(image.config)));
}

async function unpack(image: Image, { blobs, host }: DeliverTarget, destination: string): Promise<void> {
  const layers = image.manifest.layers.map((descriptor, index) => {
    const diffId = image.config.rootfs.diff_ids[index];
    if (diffId === undefined)
      throw new UserError(`image ${image.manifest.config.digest}: no diff ID for layer ${index + 1}`);
    return {
      descriptor,
      diffId,
      file: blobs.file(descriptor),
      open: (signal: AbortSignal) => blobs.open(descriptor, signal),
    };
  });
  await unpackRootfs({ layers, destination, host });
}
