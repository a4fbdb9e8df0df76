import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { type Header, pack } from "tar-stream";
import { writeDurably } from "../host/atomic-write.ts";
import { sum } from "../host/sum.ts";
import type { Blobs } from "../image/blobs.ts";
import { compressionOfMediaType } from "../image/compression/formats.ts";
import { storedGzip, storedGzipSize } from "../image/compression/stored-gzip.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { type DiffId, type Digest, hexOf } from "../image/digest.ts";
import type { Image } from "../image/image-tree.ts";
import { blobPath } from "../image/layout.ts";
import { handOn, type Inspect, layoutIndex, layoutMarker } from "../image/layout-writer.ts";
import { familiarRepository, type Reference } from "../image/reference.ts";
import { verifiedPieces } from "../image/verify.ts";

export interface ImageTar {
  readonly image: Image;
  readonly blobs: Blobs;
  /** The archive to write. An existing file is replaced. */
  readonly file: string;
  /** The image's names. Names without a tag are not written to manifest.json. */
  readonly tags: readonly Reference[];
  /** Passes on and examines the verified pieces of each layer. By default they are only passed on. */
  readonly inspect?: Inspect | undefined;
  /** Called with the size of each piece of a layer that is written. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal: AbortSignal;
}

/**
 * Writes one image as a tar archive that is both a `docker save` archive (manifest.json, config and layers) and an
 * OCI layout. The same image and names always give the same bytes.
 *
 * Blobs go from their source straight into the archive, and are verified as they pass. Layers keep their
 * compression: docker load, skopeo and go-containerregistry detect gzip, zstd or none by the first bytes. The
 * archive is written to a temporary file, flushed to the disk and then renamed.
 * @returns the layers in the archive, from which they can be read again without their source
 */
export async function writeImageTar({ file, ...archive }: ImageTar): Promise<Blobs> {
  const { manifest } = archive.image;
  const size = sum([manifest.config, ...manifest.layers].map((blob) => blob.size));
  const layers = new Map<Digest, number>();
  await writeDurably(
    file,
    (handle) => handle.writeFile(archiveBytes(archive, layers), { signal: archive.signal }),
    size,
  );
  return archivedLayers(file, layers);
}

/** @param starts offset in the file of each layer's bytes */
function archivedLayers(file: string, starts: ReadonlyMap<Digest, number>): Blobs {
  return {
    where: file,
    async open({ digest, size }) {
      const start = starts.get(digest);
      if (start === undefined) throw new Error(`${file} holds no layer ${digest}`);
      if (size === 0) return Readable.from([]);
      return createReadStream(file, { start, end: start + size - 1, highWaterMark: 1024 * 1024 });
    },
    file: () => undefined,
    kept: true,
  };
}

/** @param starts gets the offset in the archive of each layer's bytes */
async function* archiveBytes(
  { image, blobs, tags, inspect = handOn, onBytes, signal }: Omit<ImageTar, "file">,
  starts: Map<Digest, number>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { descriptor, manifest } = image;
  const wrapped = layerToWrap(image);
  const members = new Members();
  // The documents come first, because go-containerregistry reads from the start of the archive for each file it
  // needs.
  yield* members.add("oci-layout", layoutMarker);
  yield* members.add("index.json", layoutIndex(descriptor, tags));
  yield* members.add("manifest.json", dockerManifest(image, tags, wrapped));
  for (const folder of ["blobs/", "blobs/sha256/"]) yield* members.addFolder(folder);
  yield* members.add(blobPath(descriptor.digest), image.manifestBytes);
  yield* members.add(blobPath(manifest.config.digest), image.configBytes);
  for (const layer of new Map(manifest.layers.map((each) => [each.digest, each])).values()) {
    const { digest, size } = layer;
    starts.set(digest, members.nextStart);
    const pieces = inspect(layer, verifiedPieces(blobs, layer, { onBytes, signal }));
    yield* members.pipe(blobPath(digest), size, pieces);
  }
  if (wrapped !== undefined) {
    const { digest, size } = wrapped;
    const bytes = storedGzip(verifiedPieces(blobs, wrapped, { signal }), size);
    yield* members.pipe(wrappedPath(digest), storedGzipSize(size), bytes);
  }
  yield Buffer.alloc(2 * tarBlock);
}

/** Writes the members of an archive one after the other. Each piece is valid only until the next is requested. */
class Members {
  /** Offset of the next member's header. */
  #end = 0;

  /**
   * Offset of the next member's bytes. The header before them is one block, as names are short and no attribute is
   * unusual.
   */
  get nextStart(): number {
    return this.#end + tarBlock;
  }

  async *add(name: string, bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
    yield* this.pipe(name, bytes.length, [bytes]);
  }

  async *addFolder(name: string): AsyncGenerator<Uint8Array, void, undefined> {
    yield await headerBlock({ ...header(name), mode: 0o755, type: "directory" });
    this.#end += tarBlock;
  }

  async *pipe(
    name: string,
    size: number,
    bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    yield await headerBlock({ ...header(name), size });
    yield* bytes;
    const padding = (tarBlock - (size % tarBlock)) % tarBlock;
    yield Buffer.alloc(padding);
    this.#end += tarBlock + size + padding;
  }
}

/**
 * A member's header, made by tar-stream. The content doesn't go through tar-stream, which would keep references to
 * pieces of a file's buffer.
 */
async function headerBlock(member: Partial<Header> & Pick<Header, "name">): Promise<Uint8Array> {
  const tar = pack();
  // It reports that the member's content is missing, which is intended.
  tar.entry(member).on("error", () => {});
  for await (const block of tar as AsyncIterable<Uint8Array>) return block;
  throw new Error(`no header for ${member.name}`);
}

const tarBlock = 512;

function header(name: string) {
  return { name, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) };
}

/**
 * manifest.json of Docker's image archive (image-spec v1.2 of Docker). `LayerSources` gives go-containerregistry
 * the media type of layers that it would otherwise take for gzip. It is keyed by diff ID, so layers with the same
 * diff ID share one file, even if the image has them in different compressions.
 */
function dockerManifest(
  { manifest, config }: Image,
  tags: readonly Reference[],
  wrapped: Descriptor | undefined,
): Uint8Array {
  const layers = new Map<DiffId, Descriptor>();
  for (const [index, diffId] of config.rootfs.diff_ids.entries()) {
    const layer = manifest.layers[index];
    if (layer !== undefined && !layers.has(diffId)) layers.set(diffId, layer);
  }
  const isWrapped = ({ digest }: Descriptor) => digest === wrapped?.digest;
  const path = (layer: Descriptor | undefined) =>
    layer && (isWrapped(layer) ? wrappedPath(layer.digest) : blobPath(layer.digest));
  const sources = [...layers].flatMap(([diffId, layer]) => {
    if (isGzipLayer(layer) || isWrapped(layer)) return [];
    return [[diffId, { mediaType: layer.mediaType, size: layer.size, digest: layer.digest }] as const];
  });
  const entry = {
    Config: blobPath(manifest.config.digest),
    RepoTags: tags.flatMap((name) =>
      name.tag === undefined ? [] : `${familiarRepository(name)}:${name.tag}`,
    ),
    Layers: config.rootfs.diff_ids.map((diffId) => path(layers.get(diffId))),
    ...(sources.length > 0 && { LayerSources: Object.fromEntries(sources) }),
  };
  return Buffer.from(JSON.stringify([entry]));
}

/**
 * If the first layer is uncompressed, go-containerregistry, and so the registry-image resource, takes all layers
 * for uncompressed, and would compress the compressed ones again when it pushes them. An image that is built on one
 * of `docker save` has such layers. For it, Docker's manifest names a gzip file of the first layer, made with
 * stored blocks that compress nothing.
 */
function layerToWrap({ manifest: { layers } }: Image): Descriptor | undefined {
  const [first] = layers;
  return first !== undefined && isPlainLayer(first) && !layers.every(isPlainLayer) ? first : undefined;
}

/** go-containerregistry's name for a layer in its archives. */
function wrappedPath(digest: Digest): string {
  return `${hexOf(digest)}.tar.gz`;
}

function isGzipLayer({ mediaType }: Descriptor): boolean {
  return compressionOfMediaType(mediaType) === "gzip";
}

function isPlainLayer({ mediaType }: Descriptor): boolean {
  return compressionOfMediaType(mediaType) === "none";
}
