import { UserError } from "../../host/errors.ts";
import type { BlobSource } from "../blobs.ts";
import type { Descriptor, Platform } from "../descriptor.ts";
import type { Digest } from "../digest.ts";
import { Index, Manifest, parseDocument } from "../documents.ts";
import { type Image, type ImageTree, readEntries, type TreePart } from "../image-tree.ts";
import { blobPath, checkLayoutMarker } from "../layout.ts";
import { isManifestType, mediaTypes } from "../media-types.ts";
import { formatExactPlatform, normalPlatform } from "../platform.ts";
import { type ReachableBlob, reachableBlobs } from "../reachable.ts";
import { readDocument } from "../verify.ts";
import { fileOf, type ImageFiles, openRange, readDocumentFile } from "./image-files.ts";
import type { PrivateLayout } from "./private-layout.ts";

/** An image that was found among files. Its documents have been read, its layers have not. */
export interface FoundImage {
  readonly images: readonly [Image, ...Image[]];
  /** Whether it is an index, from which BuildKit chooses by platform. */
  readonly isIndex: boolean;
  /** Manifests and indexes that are named but missing among the files. */
  readonly absent: readonly Descriptor[];
  /** Puts everything into a layout, and returns the manifest or index there that leads to it. */
  readonly place: (into: PrivateLayout) => Promise<Descriptor>;
}

/**
 * Reads the image of an OCI layout (OCI image-spec, image-layout.md). Its `index.json` names one image, by one
 * entry or by several of the same digest. Or `index.json` is itself the image's index, with an entry for each
 * platform. Attestations and other artifacts beside the image don't count. Platforms that an index names may be
 * missing.
 * @throws UserError when there is no image, there are several, or a document is damaged
 */
export async function readLayoutForm(files: ImageFiles, signal: AbortSignal): Promise<FoundImage> {
  const { where } = files;
  await checkMarker(files);
  const subject = `${where}: index.json`;
  const bytes = await readDocumentFile(fileOf(files, "index.json", subject), subject);
  const index = parseDocument(Index, bytes, subject);
  if ("layers" in index || "config" in index) {
    throw new UserError(
      `${subject}: has fields of a manifest (config, layers); expected an index (manifests)`,
    );
  }
  const named = onceByDigest(index.manifests);
  const blobs = layoutBlobsOf(files);
  const parts = await readEntries(blobs, named, signal);
  const entries = named.flatMap((descriptor, at): LayoutEntry[] => {
    const part = parts[at];
    return part === undefined || part.images.length + part.absent.length === 0
      ? []
      : [{ descriptor, part, names: entryNames(descriptor, index.manifests) }];
  });
  checkOneImage(entries, where);
  const images = onceByDigest(entries.flatMap(({ part }) => part.images));
  const absent = entries.flatMap(({ part }) => part.absent);
  const [first, ...others] = images;
  if (first === undefined) {
    const [artifact] = parts.flatMap(({ strays }) => strays);
    const other = artifact === undefined ? "" : await describeArtifact(blobs, artifact, signal);
    const lacking =
      absent.length === 0 ? other : `; it lacks the manifest ${absent[0]?.digest} that it names`;
    throw new UserError(`${where}: the layout's index.json lists no image${lacking}`);
  }
  checkPlain(images, where);
  const found = { images: [first, ...others] as const, absent };
  const [only] = entries;
  const isIndex = entries.length > 1 || only?.part.indexes.length !== 0;
  return { ...found, isIndex, place: (into) => placeLayout(files, { entries, ...found }, into) };
}

/** What an entry is that is no image, such as a chart of Helm, for a message. */
async function describeArtifact(
  blobs: BlobSource,
  artifact: Descriptor,
  signal: AbortSignal,
): Promise<string> {
  const { mediaType, digest } = artifact;
  if (!isManifestType(mediaType)) return `; ${digest} in it is of type ${mediaType}`;
  const { artifactType, config } = parseDocument(
    Manifest,
    await readDocument(blobs, artifact, { signal }),
    `${blobs.where}: manifest ${digest}`,
  );
  return `; ${digest} in it is an artifact of type ${artifactType ?? config.mediaType}`;
}

/** @throws UserError when a layer is encrypted: BuildKit would take its bytes for a broken archive */
function checkPlain(images: readonly Image[], where: string): void {
  const layers = images.flatMap(({ manifest }) => manifest.layers);
  const encrypted = layers.find(({ mediaType }) => mediaType.endsWith("+encrypted"));
  if (encrypted === undefined) return;
  throw new UserError(
    `${where}: layer ${encrypted.digest} is encrypted (${encrypted.mediaType}); decrypt the image first, as skopeo copy --decryption-key does`,
  );
}

interface LayoutEntry {
  readonly descriptor: Descriptor;
  readonly part: TreePart;
  /** The names of the image; empty if it has none. */
  readonly names: readonly string[];
}

async function checkMarker(files: ImageFiles): Promise<void> {
  const subject = `${files.where}: oci-layout`;
  checkLayoutMarker(await readDocumentFile(fileOf(files, "oci-layout", subject), subject), files.where);
}

function layoutBlobsOf(files: ImageFiles) {
  const { where } = files;
  return {
    where,
    has: ({ digest }: Descriptor) => files.find(blobPath(digest)) !== undefined,
    open: ({ digest }: Descriptor, signal: AbortSignal) =>
      openRange(fileOf(files, blobPath(digest), where), signal),
    // It may be a part of an archive.
    file: () => undefined,
  };
}

/** The names of an image, each from one of two annotations: see `layoutIndex`. */
function entryNames({ digest }: Descriptor, entries: readonly Descriptor[]): string[] {
  const same = entries.filter((entry) => entry.digest === digest);
  return same.flatMap(({ annotations = {} }) => {
    const name = annotations["io.containerd.image.name"] ?? annotations["org.opencontainers.image.ref.name"];
    return name ?? [];
  });
}

/** Several entries are one image if all have the same names or none, and no two are for the same platform. */
function checkOneImage(entries: readonly LayoutEntry[], where: string): void {
  if (entries.length < 2) return;
  const names = new Set(entries.map(({ names: own }) => own.toSorted().join(" ")));
  const platforms = entries.flatMap(({ part }) => [
    ...part.images.map(({ descriptor, platform }) => platformKey(descriptor.platform ?? platform)),
    ...part.absent.map(({ platform, digest }) => (platform === undefined ? digest : platformKey(platform))),
  ]);
  if (names.size === 1 && new Set(platforms).size === platforms.length) return;
  const listed = entries.map(({ names: [name], descriptor }) => name ?? descriptor.digest);
  throw new UserError(
    `${where}: the layout holds ${entries.length} images (${listed.slice(0, 5).join(", ")}); expected one, or one index of several platforms: write only the one you need`,
  );
}

function platformKey(platform: Platform): string {
  return formatExactPlatform(normalPlatform(platform));
}

interface Placing extends Pick<FoundImage, "images" | "absent"> {
  readonly entries: readonly LayoutEntry[];
}

async function placeLayout(
  files: ImageFiles,
  { entries, images, absent }: Placing,
  into: PrivateLayout,
): Promise<Descriptor> {
  const [only, ...others] = entries;
  const bare = { top: images[0].descriptor, images, indexes: [], attestations: [], strays: [] };
  const isComplete = only !== undefined && others.length === 0 && absent.length === 0;
  const whole = isComplete
    ? await wholeTree(files, { ...bare, ...only.part, images }, into.signal)
    : undefined;
  for (const { descriptor, bytes } of whole ??
    (await reachableBlobs(layoutBlobsOf(files), bare, into.signal))) {
    if (bytes === undefined) await into.addBlob(descriptor, layerFile(files, descriptor));
    else await into.addDocument(descriptor.mediaType, bytes);
  }
  if (isComplete && whole !== undefined) return only.descriptor;
  // No document among the files names exactly these images.
  return images.length === 1 ? bare.top : into.addDocument(mediaTypes.ociIndex, platformIndex(images));
}

/** Everything that an index leads to, attestations included. Undefined if any of it except a layer is missing. */
async function wholeTree(
  files: ImageFiles,
  tree: ImageTree,
  signal: AbortSignal,
): Promise<readonly ReachableBlob[] | undefined> {
  const { has } = layoutBlobsOf(files);
  if (![...tree.attestations, ...tree.strays].every(has)) return undefined;
  const all = await reachableBlobs(layoutBlobsOf(files), tree, signal);
  const layers = new Set(tree.images.flatMap(({ manifest }) => manifest.layers.map(({ digest }) => digest)));
  return all.every(
    ({ descriptor, bytes }) => bytes !== undefined || layers.has(descriptor.digest) || has(descriptor),
  )
    ? all
    : undefined;
}

function layerFile(files: ImageFiles, { digest, urls }: Descriptor) {
  const found = files.find(blobPath(digest));
  if (found !== undefined) return found;
  const [url] = Array.isArray(urls) ? urls : [];
  const elsewhere =
    typeof url === "string"
      ? `, which was left out as it can be had from ${url}; nothing is fetched from there, so put the layer into the layout`
      : "";
  throw new UserError(`${files.where}: the image lacks its layer ${digest}${elsewhere}`);
}

function platformIndex(images: readonly Image[]): Uint8Array {
  const manifests = images.map(({ descriptor: { mediaType, digest, size, platform }, platform: own }) => ({
    mediaType,
    digest,
    size,
    platform: platform ?? own,
  }));
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
}

function onceByDigest<T extends Descriptor | Image>(all: readonly T[]): T[] {
  const first = new Map<Digest, T>();
  for (const each of all) {
    const { digest } = "descriptor" in each ? (each as Image).descriptor : each;
    if (!first.has(digest)) first.set(digest, each);
  }
  return [...first.values()];
}
