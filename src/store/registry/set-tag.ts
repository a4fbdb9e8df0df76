import { UserError } from "../../host/errors.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { type Digest, digestOf } from "../../image/digest.ts";
import { readTree } from "../../image/image-tree.ts";
import { mediaTypes } from "../../image/media-types.ts";
import { putManifest } from "../../registry/manifests.ts";
import { RegistryError } from "../../registry/registry-error.ts";
import type { Build } from "../build.ts";
import { decodeBuildIndex } from "../build-index.ts";
import { findManifest, type OpenedRepository } from "./opened-repository.ts";

export interface NewTag {
  readonly tag: string;
  readonly document: Uint8Array;
  readonly mediaType: string;
  /** What to do if the tag can't be moved. */
  readonly advice: string;
}

/**
 * Points a tag at a manifest or index. If the registry refuses, for example because its tags are immutable, this
 * still succeeds if the tag already leads to the same document, or to one that `isSame` accepts.
 * @param isSame whether the document that the tag leads to now is as good as the new one
 * @throws UserError if the tag leads elsewhere and can't be moved
 */
export async function setTag(
  { client, blobs }: OpenedRepository,
  { tag, document, mediaType, advice }: NewTag,
  isSame: (current: Buffer) => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await putManifest(client, { document, mediaType, tag }, signal);
  } catch (thrown) {
    if (!(thrown instanceof RegistryError) || !isRefusal(thrown)) throw thrown;
    const current = await findManifest(client, tag, signal).catch(() => undefined);
    if (current === undefined) throw thrown;
    const digest = digestOf(current);
    if (digest === digestOf(document) || (await isSame(current).catch(() => false))) return;
    throw new UserError(
      `${blobs.where}: tag ${tag} leads to ${digest}, and the registry doesn't let it move to ${digestOf(document)}: ${thrown.message}. ${advice}`,
      { cause: thrown },
    );
  }
}

/** How a registry refuses to move a tag: ECR answers 400, Quay 409, Harbor 412, others 403. */
const refusals: ReadonlySet<string> = new Set(["forbidden", "read-only", "other"]);

/** Whether a registry refused a manifest for what it is, or because its tag can't be moved. */
export function isRefusal(thrown: unknown): boolean {
  return thrown instanceof RegistryError && refusals.has(thrown.fault);
}

/**
 * Whether a tag leads to the same runnable images as a descriptor. Attestations are ignored: they record when and
 * how the images were built.
 */
export async function leadsToSameImages(
  { blobs }: OpenedRepository,
  current: Buffer,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<boolean> {
  const { mediaType } = JSON.parse(current.toString("utf8")) as { mediaType?: string };
  const top = {
    mediaType: mediaType ?? mediaTypes.ociManifest,
    digest: digestOf(current),
    size: current.length,
  };
  const [found, wanted] = await Promise.all([
    runnableManifests({ blobs }, top, signal),
    runnableManifests({ blobs }, descriptor, signal),
  ]);
  return found.join() === wanted.join();
}

/** Whether a stored build index leads to the same runnable images as a build, for every target. */
export async function isSameBuild(
  opened: OpenedRepository,
  current: Buffer,
  build: Build,
  signal: AbortSignal,
): Promise<boolean> {
  const stored = decodeBuildIndex(current, opened.blobs.where);
  if (stored.targets.length !== build.targets.length) return false;
  for (const [index, { name, descriptor }] of build.targets.entries()) {
    const other = stored.targets[index];
    // The main target's name isn't a part of the version.
    if (other === undefined || (index > 0 && other.name !== name)) return false;
    const [found, wanted] = await Promise.all([
      runnableManifests(opened, other.descriptor, signal),
      runnableManifests(opened, descriptor, signal),
    ]);
    if (found.join() !== wanted.join()) return false;
  }
  return true;
}

async function runnableManifests(
  { blobs }: Pick<OpenedRepository, "blobs">,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<readonly Digest[]> {
  const { images } = await readTree(blobs, descriptor, signal);
  return images.map((image) => image.descriptor.digest).toSorted();
}
