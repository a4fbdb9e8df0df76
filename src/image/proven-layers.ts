import { type DiffId, type Digest, digestOf, isDigest } from "./digest.ts";
import { configDigestOf, type Image } from "./image-tree.ts";

/**
 * Layers whose plain bytes have been compared with a diff ID while they were made or unpacked: the diff ID of each, by
 * the digest of its blob.
 */
export type ProvenLayers = ReadonlyMap<Digest, DiffId>;

/** Reads `<layer digest> <diff ID>,` for each layer. What has another form proves nothing. */
export function parseProvenLayers(text: string): ProvenLayers {
  const proven = new Map<Digest, DiffId>();
  for (const layer of text.split(",")) {
    const [digest = "", diffId = "", ...more] = layer.split(" ");
    if (isDigest(digest) && isDigest(diffId) && more.length === 0) proven.set(digest, diffId as DiffId);
  }
  return proven;
}

/** All layers that the parts of a build have proven. */
export function provenBy(parts: readonly { readonly proven: ProvenLayers }[]): ProvenLayers {
  return new Map(parts.flatMap(({ proven }) => [...proven]));
}

/**
 * Whether every layer of an image is known to have the diff ID that its config says.
 *
 * A blob that is its own diff ID never counts. BuildKit takes it as it is if its media type says so, and we by its
 * first bytes, so what BuildKit has compared may not be what a get unpacks.
 */
export function isProven({ manifest, config }: Image, proven: ProvenLayers): boolean {
  return manifest.layers.every(({ digest }, at) => {
    const diffId = config.rootfs.diff_ids[at];
    return diffId !== digest && proven.get(digest) === diffId;
  });
}

/**
 * A digest over the configs and layers of images, in their order. So it is over the diff IDs too, and over the bytes of
 * every layer as they are compressed.
 */
export function layersDigest(images: readonly Image[]): Digest {
  const lines = images.map((image) =>
    [configDigestOf(image), ...image.manifest.layers.map(({ digest }) => digest)].join(" "),
  );
  return digestOf(Buffer.from(lines.join("\n")));
}
