import { UserError } from "../host/errors.ts";
import { mapAtOnce } from "../host/map-at-once.ts";
import type { Blobs } from "./blobs.ts";
import type { Descriptor, Platform } from "./descriptor.ts";
import type { ConfigDigest, Digest } from "./digest.ts";
import { ImageConfig, type Manifest, parseDocument, parseManifestOrIndex } from "./documents.ts";
import { isIndexType, isManifestType, mediaTypes } from "./media-types.ts";
import { normalPlatform } from "./platform.ts";
import { documentLimit, inlineData, readDocument } from "./verify.ts";

/** A runnable image: its manifest and config, as parsed and as the bytes whose digests are known. */
export interface Image {
  /** Of the manifest. */
  readonly descriptor: Descriptor;
  readonly manifestBytes: Uint8Array;
  readonly manifest: Manifest;
  readonly configBytes: Uint8Array;
  readonly config: ImageConfig;
  /** What the config says, in normal form. */
  readonly platform: Platform;
}

/** All that one descriptor leads to: a manifest alone, or an index, perhaps of indexes. */
export interface ImageTree {
  readonly top: Descriptor;
  /** Each runnable image once, in the order of the indexes. */
  readonly images: readonly [Image, ...Image[]];
  /** Manifests about images (SBOM, provenance) and whatever else isn't run; not read. */
  readonly attestations: readonly Descriptor[];
  /** The indexes that lead there, the top first if it is one. */
  readonly indexes: readonly IndexDocument[];
}

export interface IndexDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** Identity of a runnable image, the same over every compression and with or without attestations. */
export function configDigestOf(image: Image): ConfigDigest {
  return image.manifest.config.digest as ConfigDigest;
}

/** The part of a tree that is one image, to deliver that image alone. */
export function singleImage(image: Image): ImageTree {
  return { top: image.descriptor, images: [image], attestations: [], indexes: [] };
}

/**
 * A build's version: the config digest when there is one runnable image, the digest of the index when there are
 * several.
 */
export function versionOf({ top, images }: ImageTree): Digest {
  const configs = new Set(images.map(configDigestOf));
  return configs.size === 1 ? configDigestOf(images[0]) : top.digest;
}

/**
 * Checks that what was found is what the version names.
 * @throws UserError when it is another image
 */
export function verifyVersion(tree: ImageTree, version: Digest, where: string): void {
  const found = versionOf(tree);
  if (found === version) return;
  throw new UserError(
    `${where}: the build stored as version ${version} holds the image ${found}. It was replaced; run the put again`,
  );
}

// No real index comes near these; they bound time and memory when someone makes one that does.
const nestedIndexLimit = 8;
const documentCountLimit = 1000;
const documentBytesLimit = 64 * 1024 * 1024;
const readsAtOnce = 4;

/**
 * Reads and verifies every index, manifest and config below `top`; layers stay unread. An index may hold indexes.
 * Attestation manifests are skipped: those annotated as such by BuildKit, or of platform `unknown/unknown`.
 * @throws UserError when a document is damaged, contradicts itself or another, or when no image is there
 */
export async function readTree(
  blobs: Pick<Blobs, "where" | "open">,
  top: Descriptor,
  signal: AbortSignal,
): Promise<ImageTree> {
  const { images, attestations, indexes } = await new Walk(blobs, signal).descend(top, []);
  const [first, ...others] = images;
  if (first === undefined) throw new UserError(`${blobs.where}: ${top.digest} leads to no runnable image`);
  return { top, images: [first, ...others], attestations, indexes };
}

/** What one descriptor leads to, each thing once, in the order in which the documents name it. */
export interface TreePart extends Pick<ImageTree, "attestations" | "indexes"> {
  readonly images: readonly Image[];
  /** Manifests and indexes that an index names, and that aren't there. */
  readonly absent: readonly Descriptor[];
}

/**
 * Reads what each entry of an OCI layout's `index.json` leads to, as {@link readTree} does, but an entry may lead to no
 * image, and what the entries or the indexes below them name need not be there.
 * @param has whether a blob is there
 */
export async function readEntries(
  blobs: Pick<Blobs, "where" | "open"> & { readonly has: (descriptor: Descriptor) => boolean },
  entries: readonly Descriptor[],
  signal: AbortSignal,
): Promise<readonly TreePart[]> {
  const walk = new Walk(blobs, signal, blobs.has);
  const parts: TreePart[] = [];
  for (const entry of entries) parts.push(await walk.descend(entry, [], true));
  return parts;
}

const nothing: TreePart = { images: [], attestations: [], indexes: [], absent: [] };

class Walk {
  readonly #found = new Map<Digest, Promise<TreePart>>();
  readonly #blobs: Pick<Blobs, "where" | "open">;
  readonly #signal: AbortSignal;
  readonly #has: (descriptor: Descriptor) => boolean;
  #documents = 0;
  #bytes = 0;

  /** @param has by default all is there; what isn't is an error of `blobs` */
  constructor(
    blobs: Pick<Blobs, "where" | "open">,
    signal: AbortSignal,
    has: (descriptor: Descriptor) => boolean = () => true,
  ) {
    this.#blobs = blobs;
    this.#signal = signal;
    this.#has = has;
  }

  /** @param isEntry whether something that is no index names it all the same, as `index.json` does */
  async descend(
    descriptor: Descriptor,
    above: readonly Digest[],
    isEntry = above.length > 0,
  ): Promise<TreePart> {
    const subject = this.#subject(descriptor);
    if (above.includes(descriptor.digest)) throw new UserError(`${subject}: the index holds itself`);
    if (above.length >= nestedIndexLimit) {
      throw new UserError(
        `${subject}: indexes nest more than ${nestedIndexLimit} deep; expected an index of manifests`,
      );
    }
    const aside = isEntry && !isImageOrIndex(descriptor);
    if (aside || isAttestation(descriptor)) return { ...nothing, attestations: [descriptor] };
    if (!this.#has(descriptor)) return { ...nothing, absent: [descriptor] };
    // Documents are read at the same time: whichever is first, all get the same answer.
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
      (child) => this.descend(child, below),
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
    if (!isImageConfig(manifest)) return { ...nothing, attestations: [descriptor] };
    const { where } = this.#blobs;
    for (const layer of manifest.layers) inlineData(layer, where);
    const configBytes = await this.#read(manifest.config);
    const config = parseDocument(ImageConfig, configBytes, `${where}: config ${manifest.config.digest}`);
    const platform = normalPlatform(config);
    if (isUnknown(platform)) return { ...nothing, attestations: [descriptor] };
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

  async #read(descriptor: Descriptor): Promise<Uint8Array> {
    this.#documents++;
    // One that is too large for itself is refused by its own size when it is read.
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

/** Each once, where it is first. */
function once<T>(all: readonly T[], digestOf: (each: T) => Digest): T[] {
  const first = new Map<Digest, T>();
  for (const each of all) if (!first.has(digestOf(each))) first.set(digestOf(each), each);
  return [...first.values()];
}

function isImageOrIndex({ mediaType }: Descriptor): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}

/** BuildKit's mark (docs/attestations/attestation-storage.md), and the platform it gives them. */
function isAttestation({ annotations, platform }: Descriptor): boolean {
  if (annotations?.["vnd.docker.reference.type"] === "attestation-manifest") return true;
  return platform !== undefined && isUnknown(platform);
}

function isUnknown({ os, architecture }: Platform): boolean {
  return os === "unknown" && architecture === "unknown";
}

/** An artifact (signature, chart, SBOM) has a config of another media type: OCI image-spec, manifest.md#guidelines-for-artifact-usage. */
function isImageConfig({ config }: Manifest): boolean {
  return config.mediaType === mediaTypes.ociConfig || config.mediaType === mediaTypes.dockerConfig;
}
