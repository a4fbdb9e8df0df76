import { UserError } from "../host/errors.ts";
import type { BlobSource } from "./blobs.ts";
import type { Descriptor } from "./descriptor.ts";
import { parseManifestOrIndex } from "./documents.ts";
import { readTree } from "./image-tree.ts";
import { mediaTypes } from "./media-types.ts";
import { readDocument } from "./verify.ts";

/**
 * Makes one image index (OCI image-spec, image-index.md) of images that were built separately, in the given order.
 * A manifest becomes one entry, with the platform of its config. An index adds its own entries, attestations
 * included.
 * @returns the bytes of the index, always the same for the same images
 * @throws UserError when a built image can't be read
 */
export async function mergedIndex(
  blobs: BlobSource,
  built: readonly Descriptor[],
  signal: AbortSignal,
): Promise<Uint8Array> {
  const manifests: Descriptor[] = [];
  for (const descriptor of built) manifests.push(...(await entries(blobs, descriptor, signal)));
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
}

async function entries(
  blobs: BlobSource,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const { images } = await readTree(blobs, descriptor, signal);
  const bytes = await readDocument(blobs, descriptor, { signal });
  const document = parseManifestOrIndex(descriptor.mediaType, bytes, `${blobs.where}: ${descriptor.digest}`);
  if (document.kind === "index") return document.index.manifests;
  const [{ platform }, ...others] = images;
  if (others.length > 0) throw new UserError(`${blobs.where}: ${descriptor.digest} holds several images`);
  const { mediaType, digest, size } = descriptor;
  return [{ mediaType, digest, size, platform }];
}
