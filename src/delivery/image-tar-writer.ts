import type { FileHandle } from "node:fs/promises";
import { type Header, pack } from "tar-stream";
import { EarlyFlushes, writeDurably } from "../host/atomic-write.ts";
import { mapAtOnce } from "../host/map-at-once.ts";
import { sum } from "../host/sum.ts";
import { writeAllAt } from "../host/write-at.ts";
import { ArrivingBlob, type NearBlobs } from "../image/arriving-blob.ts";
import type { Blobs } from "../image/blobs.ts";
import { bringChecked, type CheckBlob } from "../image/bring-checked.ts";
import { compressionOfMediaType } from "../image/compression/formats.ts";
import { storedGzip, storedGzipSize } from "../image/compression/stored-gzip.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { type DiffId, type Digest, hexOf } from "../image/digest.ts";
import type { Image } from "../image/image-tree.ts";
import { blobPath } from "../image/layout.ts";
import { layoutIndex, layoutMarker } from "../image/layout-writer.ts";
import { familiarRepository, type Reference } from "../image/reference.ts";

export interface ImageTar {
  readonly image: Image;
  readonly blobs: Blobs;
  /** The archive to write. An existing file is replaced. */
  readonly file: string;
  /** The image's names. Names without a tag are not written to manifest.json. */
  readonly tags: readonly Reference[];
  /** Checks each layer. By default only its size and digest are checked. */
  readonly check?: CheckBlob | undefined;
  /** Called with the size of each piece of a layer that is written. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal: AbortSignal;
}

const layersAtOnce = 4;

/**
 * Writes one image as a tar archive that is both a `docker save` archive (manifest.json, config and layers) and an
 * OCI layout. The same image and names always give the same bytes.
 *
 * Sizes are known beforehand, so each layer has its place in the archive, and several are written at once. They are
 * checked there as they arrive. Layers keep their compression: docker load, skopeo and go-containerregistry detect
 * gzip, zstd or none by the first bytes. The archive is written to a temporary file, flushed to the disk and then
 * renamed.
 * @returns the layers in the archive, from which they can be read again without their source
 */
export async function writeImageTar({ file, ...archive }: ImageTar): Promise<NearBlobs> {
  const { manifest } = archive.image;
  const size = sum([manifest.config, ...manifest.layers].map((blob) => blob.size));
  const layers = new Map<Digest, number>();
  await writeDurably(file, (handle, path) => writeArchive(archive, { handle, path, layers }), size);
  return archivedLayers(file, layers);
}

/** @param starts offset in the file of each layer's bytes */
function archivedLayers(file: string, starts: ReadonlyMap<Digest, number>): NearBlobs {
  const arrived = (descriptor: Descriptor) => {
    const start = starts.get(descriptor.digest);
    if (start === undefined) throw new Error(`${file} holds no layer ${descriptor.digest}`);
    return ArrivingBlob.inFile(descriptor, { path: file, start }, false);
  };
  return {
    where: file,
    open: async (descriptor) => arrived(descriptor).open(),
    file: () => undefined,
    arriving: arrived,
    kept: true,
  };
}

interface Output {
  readonly handle: FileHandle;
  readonly path: string;
  /** Gets the offset in the archive of each layer's bytes. */
  readonly layers: Map<Digest, number>;
}

async function writeArchive(
  { image, blobs, tags, check, onBytes, signal }: Omit<ImageTar, "file">,
  { handle, path, layers }: Output,
): Promise<void> {
  const { descriptor, manifest } = image;
  const wrapped = layerToWrap(image);
  const members = new Members(handle);
  // The documents come first, because go-containerregistry reads from the start of the archive for each file it
  // needs.
  await members.add("oci-layout", layoutMarker);
  await members.add("index.json", layoutIndex(descriptor, tags));
  await members.add("manifest.json", dockerManifest(image, tags, wrapped));
  for (const folder of ["blobs/", "blobs/sha256/"]) await members.addFolder(folder);
  await members.add(blobPath(descriptor.digest), image.manifestBytes);
  await members.add(blobPath(manifest.config.digest), image.configBytes);
  const once = [...new Map(manifest.layers.map((each) => [each.digest, each])).values()];
  for (const { digest, size } of once) layers.set(digest, await members.reserve(blobPath(digest), size));
  const wrappedStart =
    wrapped && (await members.reserve(wrappedPath(wrapped.digest), storedGzipSize(wrapped.size)));
  await members.end();
  const flushes = new EarlyFlushes();
  // The largest come first: a small one keeps a single core busy at the end.
  const largestFirst = once.toSorted((one, other) => other.size - one.size);
  await mapAtOnce(largestFirst, { limit: layersAtOnce, signal }, async (layer, either) => {
    const blob = new ArrivingBlob(layer, { path, start: layers.get(layer.digest) ?? 0 });
    await bringChecked(blob, blobs, handle, { check, onBytes, flushes, signal: either });
    if (layer.digest !== wrapped?.digest || wrappedStart === undefined) return;
    const bytes = storedGzip(blob.open(), layer.size);
    await writePieces(handle, bytes, { start: wrappedStart, signal: either });
  });
}

/** Writes members' headers, and the content of small ones, one after the other. */
class Members {
  readonly #file: FileHandle;
  /** Offset of the next member's header. */
  #end = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async add(name: string, bytes: Uint8Array): Promise<void> {
    const start = await this.reserve(name, bytes.length);
    await writePieces(this.#file, [bytes], { start });
  }

  async addFolder(name: string): Promise<void> {
    await this.#write(await headerBlock({ ...header(name), mode: 0o755, type: "directory" }));
  }

  /** Writes a member's header. Returns the offset of its content, which is zeros until it is written. */
  async reserve(name: string, size: number): Promise<number> {
    await this.#write(await headerBlock({ ...header(name), size }));
    const start = this.#end;
    this.#end += Math.ceil(size / tarBlock) * tarBlock;
    return start;
  }

  /** Ends the archive. */
  async end(): Promise<void> {
    await this.#write(Buffer.alloc(2 * tarBlock));
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await writePieces(this.#file, [bytes], { start: this.#end });
    this.#end += bytes.length;
  }
}

async function writePieces(
  file: FileHandle,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { start, signal }: { readonly start: number; readonly signal?: AbortSignal },
): Promise<void> {
  let at = start;
  for await (const piece of pieces) {
    signal?.throwIfAborted();
    await writeAllAt(file, [piece], at);
    at += piece.length;
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
