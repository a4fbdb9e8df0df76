import { pipeline } from "node:stream/promises";
import { type Pack, pack } from "tar-stream";
import { writeDurably, writeProblem } from "../host/durable.ts";
import type { Blobs } from "./blobs.ts";
import type { Descriptor } from "./descriptor.ts";
import { blobPath } from "./layout.ts";
import { layoutIndex, layoutMarker } from "./layout-writer.ts";
import { mediaTypes } from "./media-types.ts";
import { familiarRepository, type Reference } from "./reference.ts";
import type { Image } from "./resolve.ts";
import { openVerified } from "./verify.ts";

export interface ImageTar {
  readonly image: Image;
  readonly blobs: Blobs;
  /** The archive to write, over what may be there. */
  readonly file: string;
  /** The image's names; a name without a tag is left out. */
  readonly tags: readonly Reference[];
  readonly signal: AbortSignal;
}

/**
 * Writes one image as a tar archive that is two things at once: what `docker save` writes (manifest.json over
 * config and layers) and an OCI layout. Blobs go from their source straight into the archive, verified as they
 * pass. Layers stay compressed as they are; docker load, skopeo and go-containerregistry look at their first bytes
 * to tell gzip, zstd and plain. The same image and names give the same bytes. The archive is written beside,
 * flushed to the disk and then takes its name.
 */
export async function writeImageTar({ file, ...archive }: ImageTar): Promise<void> {
  const { manifest } = archive.image;
  const size = [manifest.config, ...manifest.layers].reduce((sum, blob) => sum + blob.size, 0);
  try {
    await writeDurably(file, async (handle) => {
      const tar = pack();
      // A failure of either side ends the other: `fill` destroys the archive, `writeFile` stops reading it.
      const filled = fill(tar, archive).catch((error: Error) => tar.destroy(error));
      await handle.writeFile(tar as AsyncIterable<Uint8Array>, { signal: archive.signal });
      await filled;
    });
  } catch (error) {
    throw await writeProblem(error, file, size);
  }
}

async function fill(tar: Pack, { image, blobs, tags, signal }: Omit<ImageTar, "file">): Promise<void> {
  const { descriptor, manifest } = image;
  // The documents come first: go-containerregistry reads from the start of the archive for each file it wants.
  addFile(tar, "oci-layout", layoutMarker);
  addFile(tar, "index.json", layoutIndex(descriptor, tags));
  addFile(tar, "manifest.json", dockerManifest(image, tags));
  for (const folder of ["blobs/", "blobs/sha256/"])
    tar.entry({ ...header(folder), mode: 0o755, type: "directory" });
  addFile(tar, blobPath(descriptor.digest), image.manifestBytes);
  addFile(tar, blobPath(manifest.config.digest), image.configBytes);
  const layers = new Map(manifest.layers.map((layer) => [layer.digest, layer]));
  for (const layer of layers.values()) {
    const entry = tar.entry({ ...header(blobPath(layer.digest)), size: layer.size });
    await pipeline(await openVerified(blobs, layer, signal), entry, { signal });
  }
  tar.finalize();
}

function addFile(tar: Pack, name: string, bytes: Uint8Array): void {
  tar.entry(header(name), Buffer.from(bytes));
}

function header(name: string) {
  return { name, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) };
}

/**
 * manifest.json of Docker's image archive (image-spec v1.2 of Docker). `LayerSources` tells go-containerregistry
 * the media type of the layers that it would else take for gzip.
 */
function dockerManifest({ manifest, config }: Image, tags: readonly Reference[]): Uint8Array {
  const sources = manifest.layers.flatMap((layer, index): [string, Descriptor][] => {
    const diffId = config.rootfs.diff_ids[index];
    if (diffId === undefined || isGzip(layer)) return [];
    return [[diffId, { mediaType: layer.mediaType, size: layer.size, digest: layer.digest }]];
  });
  const entry = {
    Config: blobPath(manifest.config.digest),
    RepoTags: tags.flatMap((name) =>
      name.tag === undefined ? [] : `${familiarRepository(name)}:${name.tag}`,
    ),
    Layers: manifest.layers.map((layer) => blobPath(layer.digest)),
    ...(sources.length > 0 && { LayerSources: Object.fromEntries(sources) }),
  };
  return Buffer.from(JSON.stringify([entry]));
}

function isGzip({ mediaType }: Descriptor): boolean {
  return mediaType === mediaTypes.ociLayerGzip || mediaType === mediaTypes.dockerLayerGzip;
}
