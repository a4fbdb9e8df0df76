import type { BlobSource } from "./blobs.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";
import { parseManifestOrIndex } from "./documents.ts";
import type { ImageTree } from "./image-tree.ts";
import { isIndexType, isManifestType } from "./media-types.ts";
import { readDocument } from "./verify.ts";

/** A blob to deliver. `bytes` is set if the blob has been read and verified already. */
export interface ReachableBlob {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array | undefined;
}

/**
 * Every blob below the top of a tree, each once: indexes, manifests, configs, layers, and attestations and other
 * manifests with their content. The order depends only on the documents.
 */
export async function reachableBlobs(
  blobs: BlobSource,
  { indexes, images, attestations, strays }: ImageTree,
  signal: AbortSignal,
): Promise<ReachableBlob[]> {
  const found = new Map<Digest, ReachableBlob>();
  const add = (descriptor: Descriptor, bytes?: Uint8Array): void => {
    if (!found.has(descriptor.digest)) found.set(descriptor.digest, { descriptor, bytes });
  };
  for (const index of indexes) add(index.descriptor, index.bytes);
  for (const image of images) {
    add(image.descriptor, image.manifestBytes);
    add(image.manifest.config, image.configBytes);
    for (const layer of image.manifest.layers) add(layer);
  }
  const others = [...attestations, ...strays];
  for (let other = others.shift(); other !== undefined; other = others.shift()) {
    if (found.has(other.digest)) continue;
    if (!isManifestType(other.mediaType) && !isIndexType(other.mediaType)) {
      add(other);
      continue;
    }
    const bytes = await readDocument(blobs, other, { signal });
    const document = parseManifestOrIndex(other.mediaType, bytes, `${blobs.where}: ${other.digest}`);
    add(other, bytes);
    if (document.kind === "index") others.push(...document.index.manifests);
    else for (const blob of [document.manifest.config, ...document.manifest.layers]) add(blob);
  }
  return [...found.values()];
}
