import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Pack, pack } from "tar-stream";
import { writeDurably } from "../host/durable.ts";
import type { Blobs } from "./blobs.ts";
import type { Descriptor } from "./descriptor.ts";
import { type DiffId, type Digest, hexOf } from "./digest.ts";
import { blobPath } from "./layout.ts";
import { layoutIndex, layoutMarker } from "./layout-writer.ts";
import { mediaTypes } from "./media-types.ts";
import { familiarRepository, type Reference } from "./reference.ts";
import type { Image } from "./resolve.ts";
import { storedGzip, storedGzipSize } from "./stored-gzip.ts";
import { counted, openVerified } from "./verify.ts";

export interface ImageTar {
  readonly image: Image;
  readonly blobs: Blobs;
  /** The archive to write, over what may be there. */
  readonly file: string;
  /** The image's names; a name without a tag is left out. */
  readonly tags: readonly Reference[];
  /** Told of each piece of a layer that is written. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal: AbortSignal;
}

/**
 * Writes one image as a tar archive that is two things at once: what `docker save` writes (manifest.json over
 * config and layers) and an OCI layout. Blobs go from their source straight into the archive, verified as they
 * pass. Layers stay compressed as they are; docker load, skopeo and go-containerregistry look at their first bytes
 * to tell gzip, zstd and plain. The same image and names give the same bytes. The archive is written beside,
 * flushed to the disk and then takes its name.
 * @returns the layers as they lie in the archive, to be read once more without their source
 */
export async function writeImageTar({ file, ...archive }: ImageTar): Promise<Blobs> {
  const { manifest } = archive.image;
  const size = [manifest.config, ...manifest.layers].reduce((sum, blob) => sum + blob.size, 0);
  const layers = new Map<Digest, number>();
  await writeDurably(
    file,
    async (handle) => {
      const tar = pack();
      // An abort can come before `writeFile` listens, and an error that nobody hears ends the process.
      tar.on("error", () => {});
      // A failure of either side ends the other: `fill` destroys the archive, `writeFile` stops reading it.
      const filled = fill(new Members(tar), archive, layers).catch((error: Error) => tar.destroy(error));
      await handle.writeFile(tar as AsyncIterable<Uint8Array>, { signal: archive.signal });
      await filled;
    },
    size,
  );
  return archivedLayers(file, layers);
}

/** @param starts where in the file the bytes of each layer begin */
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

async function fill(
  members: Members,
  { image, blobs, tags, onBytes, signal }: Omit<ImageTar, "file">,
  starts: Map<Digest, number>,
): Promise<void> {
  const { descriptor, manifest } = image;
  const wrapped = layerToWrap(image);
  // The documents come first: go-containerregistry reads from the start of the archive for each file it wants.
  members.add("oci-layout", layoutMarker);
  members.add("index.json", layoutIndex(descriptor, tags));
  members.add("manifest.json", dockerManifest(image, tags, wrapped));
  for (const folder of ["blobs/", "blobs/sha256/"]) members.addFolder(folder);
  members.add(blobPath(descriptor.digest), image.manifestBytes);
  members.add(blobPath(manifest.config.digest), image.configBytes);
  const open = async (layer: Descriptor) => counted(await openVerified(blobs, layer, signal), onBytes);
  for (const layer of new Map(manifest.layers.map((each) => [each.digest, each])).values()) {
    const { digest, size } = layer;
    starts.set(digest, await members.pipe(blobPath(digest), size, await open(layer)));
  }
  if (wrapped !== undefined) {
    const { digest, size } = wrapped;
    const bytes = storedGzip(await openVerified(blobs, wrapped, signal), size);
    await members.pipe(wrappedPath(digest), storedGzipSize(size), bytes);
  }
  members.end();
}

/** The members of an archive, one after the other. */
class Members {
  readonly #tar: Pack;
  /** Where the next member's header begins. */
  #end = 0;

  constructor(tar: Pack) {
    this.#tar = tar;
  }

  add(name: string, bytes: Uint8Array): void {
    this.#tar.entry(header(name), Buffer.from(bytes));
    this.#advance(bytes.length);
  }

  addFolder(name: string): void {
    this.#tar.entry({ ...header(name), mode: 0o755, type: "directory" });
    this.#advance(0);
  }

  /** Answers where in the archive the bytes begin. */
  async pipe(name: string, size: number, bytes: AsyncIterable<Uint8Array>): Promise<number> {
    const member = this.#tar.entry({ ...header(name), size });
    // The archive's reader is told. The member's own error can come after the pipeline has let go of it, and would end the process.
    member.on("error", () => {});
    await pipeline(bytes, member);
    return this.#advance(size);
  }

  end(): void {
    this.#tar.finalize();
  }

  /** All names are short and no attribute is unusual, so each member has one header block (POSIX pax, ustar format). */
  #advance(size: number): number {
    const start = this.#end + tarBlock;
    this.#end = start + Math.ceil(size / tarBlock) * tarBlock;
    return start;
  }
}

const tarBlock = 512;

function header(name: string) {
  return { name, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) };
}

/**
 * manifest.json of Docker's image archive (image-spec v1.2 of Docker). `LayerSources` tells go-containerregistry
 * the media type of the layers that it would else take for gzip. It goes by diff ID, so layers of one diff ID are
 * one file, whatever else the image has them compressed as.
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
    if (isGzip(layer) || isWrapped(layer)) return [];
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
 * go-containerregistry, and so the registry-image resource, takes all layers for plain when the first one is, and
 * would push the others compressed twice. So where a plain layer has compressed ones over it, as when an image is
 * built on one of `docker save`, Docker's manifest names a gzip of the first that compresses nothing.
 */
function layerToWrap({ manifest: { layers } }: Image): Descriptor | undefined {
  const [first] = layers;
  return first !== undefined && isPlain(first) && !layers.every(isPlain) ? first : undefined;
}

/** As go-containerregistry names layers in its archives. */
function wrappedPath(digest: Digest): string {
  return `${hexOf(digest)}.tar.gz`;
}

function isGzip({ mediaType }: Descriptor): boolean {
  return mediaType === mediaTypes.ociLayerGzip || mediaType === mediaTypes.dockerLayerGzip;
}

function isPlain({ mediaType }: Descriptor): boolean {
  return mediaType === mediaTypes.ociLayer || mediaType === mediaTypes.dockerLayer;
}
