import * as z from "zod";
import { UserError } from "../host/errors.ts";
import { mapAtOnce } from "../host/map-at-once.ts";
import type { BlobSource } from "./blobs.ts";
import type { Descriptor, Platform } from "./descriptor.ts";
import type { ConfigDigest, Digest } from "./digest.ts";
import { ImageConfig, type Manifest, parseDocument, parseManifestOrIndex } from "./documents.ts";
import { isIndexType, isManifestType, mediaTypes } from "./media-types.ts";
import { normalPlatform } from "./platform.ts";
import { documentLimit, inlineData, readDocument } from "./verify.ts";

/**
 * A runnable image. Manifest and config are parsed; `manifestBytes` and `configBytes` are what their digests are
 * of.
 */
export interface Image {
  /** The manifest's descriptor. */
  readonly descriptor: Descriptor;
  readonly manifestBytes: Uint8Array;
  readonly manifest: Manifest;
  readonly configBytes: Uint8Array;
  readonly config: ImageConfig;
  /** The platform of the config, in normal form. */
  readonly platform: Platform;
}

/**
 * Everything that one descriptor leads to. The descriptor is of a manifest or of an index, which may hold indexes.
 */
export interface ImageTree {
  readonly top: Descriptor;
  /** Each runnable image once, in the order of the indexes. */
  readonly images: readonly [Image, ...Image[]];
  /** BuildKit's manifests about images (SBOM, provenance). Nobody runs them, so they don't affect the version. */
  readonly attestations: readonly Descriptor[];
  /** Everything else that isn't an image, such as a signature. Other readers may interpret it differently. */
  readonly strays: readonly Descriptor[];
  /** All indexes on the way. If the top is an index, it comes first. */
  readonly indexes: readonly IndexDocument[];
}

export interface IndexDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** The identity of a runnable image. It is the same for every compression, with and without attestations. */
export function configDigestOf(image: Image): ConfigDigest {
  return image.manifest.config.digest as ConfigDigest;
}

/** The part of a tree that is one image, for delivering only that image. */
export function singleImage(image: Image): ImageTree {
  return { top: image.descriptor, images: [image], attestations: [], strays: [], indexes: [] };
}

/**
 * A build's version. It is the config digest if there is one runnable image, with or without attestations. If there
 * are several, or something else beside the image, it is the digest of the index.
 */
export function versionOf(tree: ImageTree): Digest {
  return isSingleImage(tree) ? configDigestOf(tree.images[0]) : tree.top.digest;
}

/** Whether a tree is one image, perhaps with attestations, and nothing else. */
export function isSingleImage({ images, strays }: ImageTree): boolean {
  return images.length === 1 && strays.length === 0;
}

/**
 * Checks that a tree is the build that the version names.
 * @throws UserError when it is another one
 */
export function verifyVersion(tree: ImageTree, version: Digest, where: string): void {
  const found = versionOf(tree);
  if (found === version) return;
  throw new UserError(
    `${where}: the build stored as version ${version} holds the image ${found}. It was replaced; run the put again`,
  );
}

// No real index comes near these limits. They bound the time and memory that a malicious one can take.
const nestedIndexLimit = 8;
const documentCountLimit = 1000;
const documentBytesLimit = 64 * 1024 * 1024;
const readsAtOnce = 4;

/**
 * Reads and verifies every index, manifest and config below `top`. Layers are not read. An index may hold indexes.
 * {@link Walk} describes what counts as an attestation.
 * @throws UserError when a document is damaged, contradicts itself or another, when two manifests have the same
 * config, or when there is no image
 */
export async function readTree(blobs: BlobSource, top: Descriptor, signal: AbortSignal): Promise<ImageTree> {
  const { images, attestations, strays, indexes } = await new Walk(blobs, signal).descend(top, []);
  const [first, ...others] = images;
  if (first === undefined) throw new UserError(`${blobs.where}: ${top.digest} refers to no runnable image`);
  const twice = images.find((image, at) =>
    images.slice(0, at).some((other) => configDigestOf(other) === configDigestOf(image)),
  );
  if (twice !== undefined) {
    throw new UserError(
      `${blobs.where}: ${top.digest} has two manifests with the config ${configDigestOf(twice)}; expected one manifest of each image`,
    );
  }
  return { top, images: [first, ...others], attestations, strays, indexes };
}

/** What one descriptor leads to: each item once, in the order in which the documents name it. */
export interface TreePart extends Pick<ImageTree, "attestations" | "strays" | "indexes"> {
  readonly images: readonly Image[];
  /** Manifests and indexes that are named but missing. */
  readonly absent: readonly Descriptor[];
}

/**
 * Reads what each entry of an OCI layout's `index.json` leads to, like {@link readTree}. In contrast to it, an
 * entry may lead to no image, and what the entries or the indexes below them name may be missing.
 * @param blobs `has` returns whether a blob exists
 */
export async function readEntries(
  blobs: BlobSource & { readonly has: (descriptor: Descriptor) => boolean },
  entries: readonly Descriptor[],
  signal: AbortSignal,
): Promise<readonly TreePart[]> {
  const walk = new Walk(blobs, signal, blobs.has);
  const parts: TreePart[] = [];
  for (const entry of entries) parts.push(await walk.descend(entry, [], entries));
  return parts;
}

const nothing: TreePart = { images: [], attestations: [], strays: [], indexes: [], absent: [] };

/**
 * Reads a tree. An entry of an index counts as an attestation, not as an image, only if nobody could run it. So its
 * platform must be unknown/unknown, it must be about a manifest of the same index, its config must not name a
 * system, and none of its layers may be that of an image (BuildKit, docs/attestations/attestation-storage.md). If
 * its manifest is missing, the entry alone decides.
 */
class Walk {
  readonly #found = new Map<Digest, Promise<TreePart>>();
  readonly #blobs: BlobSource;
  readonly #signal: AbortSignal;
  readonly #has: (descriptor: Descriptor) => boolean;
  #documents = 0;
  #bytes = 0;

  /**
   * @param has returns whether a blob exists. By default all are taken to exist, and a missing one is an error of
   * `blobs`
   */
  constructor(blobs: BlobSource, signal: AbortSignal, has: (descriptor: Descriptor) => boolean = () => true) {
    this.#blobs = blobs;
    this.#signal = signal;
    this.#has = has;
  }

  /**
   * @param above the indexes that lead to it
   * @param beside the entries of the index that names it; undefined at the top
   */
  async descend(
    descriptor: Descriptor,
    above: readonly Digest[],
    beside?: readonly Descriptor[],
  ): Promise<TreePart> {
    const subject = this.#subject(descriptor);
    if (above.includes(descriptor.digest)) throw new UserError(`${subject}: the index contains itself`);
    if (above.length >= nestedIndexLimit) {
      throw new UserError(
        `${subject}: indexes nest more than ${nestedIndexLimit} deep; expected an index of manifests`,
      );
    }
    if (beside !== undefined && !isImageOrIndex(descriptor)) return { ...nothing, strays: [descriptor] };
    const isAbout = beside !== undefined && isAboutOneOf(descriptor, beside);
    if (!this.#has(descriptor))
      return isAbout ? { ...nothing, attestations: [descriptor] } : { ...nothing, absent: [descriptor] };
    if (isAbout && (await this.#isInert(descriptor))) return { ...nothing, attestations: [descriptor] };
    // Entries are read concurrently. The first that needs a document reads it, and all others share the result.
    const found = this.#found.get(descriptor.digest) ?? this.#open(descriptor, above);
    this.#found.set(descriptor.digest, found);
    return found;
  }

  async #open(descriptor: Descriptor, above: readonly Digest[]): Promise<TreePart> {
    const bytes = await this.#read(descriptor);
    const document = parseManifestOrIndex(descriptor.mediaType, bytes, this.#subject(descriptor));
    if (document.kind === "manifest") return this.#image(descriptor, bytes, document.manifest);
    const below = [...above, descriptor.digest];
    const found = await mapAtOnce(
      document.index.manifests,
      { limit: readsAtOnce, signal: this.#signal },
      (child) => this.descend(child, below, document.index.manifests),
    );
    return {
      images: once(
        found.flatMap(({ images }) => images),
        (image) => image.descriptor.digest,
      ),
      attestations: once(
        found.flatMap(({ attestations }) => attestations),
        ({ digest }) => digest,
      ),
      strays: once(
        found.flatMap(({ strays }) => strays),
        ({ digest }) => digest,
      ),
      indexes: once(
        [{ descriptor, bytes }, ...found.flatMap(({ indexes }) => indexes)],
        (index) => index.descriptor.digest,
      ),
      absent: once(
        found.flatMap(({ absent }) => absent),
        ({ digest }) => digest,
      ),
    };
  }

  async #image(descriptor: Descriptor, manifestBytes: Uint8Array, manifest: Manifest): Promise<TreePart> {
    if (!isImageConfig(manifest)) return { ...nothing, strays: [descriptor] };
    const { where } = this.#blobs;
    for (const layer of manifest.layers) inlineData(layer, where);
    const configBytes = await this.#read(manifest.config);
    const config = parseDocument(ImageConfig, configBytes, `${where}: config ${manifest.config.digest}`);
    const platform = normalPlatform(config);
    if (isUnknown(platform)) return { ...nothing, strays: [descriptor] };
    const layers = manifest.layers.length;
    const diffIds = config.rootfs.diff_ids.length;
    if (layers !== diffIds) {
      throw new UserError(
        `${this.#subject(descriptor)}: the manifest has ${layers} layers, its config ${diffIds} diff IDs; expected one for each layer`,
      );
    }
    const image = { descriptor, manifestBytes, manifest, configBytes, config, platform };
    return { ...nothing, images: [image] };
  }

  /** Whether no reader could run this manifest: it has no image layers, and its config doesn't name a system. */
  async #isInert(descriptor: Descriptor): Promise<boolean> {
    const subject = this.#subject(descriptor);
    const document = parseManifestOrIndex(descriptor.mediaType, await this.#read(descriptor), subject);
    if (document.kind === "index" || document.manifest.layers.some(isImageLayer)) return false;
    const { config } = document.manifest;
    const named = parseDocument(
      NamedSystem,
      await this.#read(config),
      `${this.#blobs.where}: config ${config.digest}`,
    );
    return [named.os, named.architecture].every(
      (name) => name === undefined || name === "" || name === "unknown",
    );
  }

  async #read(descriptor: Descriptor): Promise<Uint8Array> {
    this.#documents++;
    // A document that exceeds its own limit is refused when it is read.
    this.#bytes += Math.min(descriptor.size, documentLimit);
    if (this.#documents > documentCountLimit || this.#bytes > documentBytesLimit) {
      throw new UserError(
        `${this.#subject(descriptor)}: the index leads to more than ${documentCountLimit} documents or ${documentBytesLimit} bytes of them; no such image is read`,
      );
    }
    return readDocument(this.#blobs, descriptor, { signal: this.#signal });
  }

  #subject(descriptor: Descriptor): string {
    const kind = isIndexType(descriptor.mediaType) ? "index" : "manifest";
    return `${this.#blobs.where}: ${kind} ${descriptor.digest}`;
  }
}

/** Removes duplicates. Each item stays where it occurs first. */
function once<T>(all: readonly T[], digestOf: (each: T) => Digest): T[] {
  const first = new Map<Digest, T>();
  for (const each of all) if (!first.has(digestOf(each))) first.set(digestOf(each), each);
  return [...first.values()];
}

function isImageOrIndex({ mediaType }: Descriptor): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}

/** Whether an entry is marked as BuildKit marks attestations (docs/attestations/attestation-storage.md). */
function isAboutOneOf(
  { annotations, platform, mediaType }: Descriptor,
  beside: readonly Descriptor[],
): boolean {
  const about = annotations?.["vnd.docker.reference.digest"];
  return (
    isManifestType(mediaType) &&
    platform !== undefined &&
    isUnknown(platform) &&
    beside.some(({ digest }) => digest === about)
  );
}

/** The fields of any config that name the system it runs on. */
const NamedSystem = z.looseObject({ os: z.unknown(), architecture: z.unknown() }).partial();

/** Whether a layer has a media type that readers unpack: OCI's and Docker's, including non-distributable ones. */
function isImageLayer({ mediaType }: Descriptor): boolean {
  return /^application\/vnd\.(oci\.image\.layer|docker\.image\.rootfs)\./.test(mediaType);
}

function isUnknown({ os, architecture }: Platform): boolean {
  return os === "unknown" && architecture === "unknown";
}

/**
 * Whether the config is that of an image. An artifact (signature, chart, SBOM) has a config of another media type
 * (OCI image-spec, manifest.md#guidelines-for-artifact-usage).
 */
function isImageConfig({ config }: Manifest): boolean {
  return config.mediaType === mediaTypes.ociConfig || config.mediaType === mediaTypes.dockerConfig;
}
