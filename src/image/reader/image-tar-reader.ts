import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, open, rename } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { z } from "zod";
import { writeSmallFile } from "../../host/atomic-write.ts";
import { writeProblem } from "../../host/disk-errors.ts";
import { UserError } from "../../host/errors.ts";
import { type Compression, compressionOf, decompress, layerMediaType } from "../compression/formats.ts";
import { UndecompressableError } from "../compression/undecompressable.ts";
import type { Descriptor } from "../descriptor.ts";
import { type DiffId, type Digest, digestOf, hexOf } from "../digest.ts";
import { ImageConfig, Index, parseDocument } from "../documents.ts";
import { configDigestOf, readTree } from "../image-tree.ts";
import { blobPath } from "../layout.ts";
import { layoutIndex, layoutMarker } from "../layout-writer.ts";
import { mediaTypes } from "../media-types.ts";
import {
  type ArchiveIndex,
  documentOf,
  followName,
  headOf,
  indexArchive,
  visitMembers,
} from "./tar-index.ts";

export interface ImageArchive {
  /** The param, for messages. */
  readonly name: string;
  readonly path: string;
  /** A private folder; the layout is made in it. */
  readonly workspace: string;
  readonly signal: AbortSignal;
}

/** Docker's manifest.json (moby, image/spec/v1.2: "combined image JSON"). */
const DockerManifests = z.array(
  z.looseObject({
    Config: z.string(),
    RepoTags: z.array(z.string()).nullish(),
    Layers: z
      .array(z.string())
      .nullish()
      .transform((layers) => layers ?? []),
  }),
);
const manifestLimit = 1024 * 1024;

/**
 * Makes an OCI layout of the one image in an archive: only its blobs are written, each checked against its digest
 * or diff ID. Answers the layout's folder.
 * @throws UserError when the archive isn't one image, contradicts itself, or is damaged
 */
export async function openImageArchive(archive: ImageArchive): Promise<string> {
  const { name, path, signal } = archive;
  const index = await indexArchive(path, name, signal);
  const folder = await mkdtemp(join(archive.workspace, "image-"));
  await mkdir(join(folder, "blobs/sha256"), { recursive: true });
  if (index.members.has("manifest.json")) await convertDockerImage(archive, index, folder);
  else if (index.members.has("index.json")) await copyLayout(archive, index, folder);
  else {
    throw new UserError(
      `${name}: the archive has neither manifest.json nor index.json; expected what "docker save" writes, or an OCI layout`,
    );
  }
  return folder;
}

async function convertDockerImage(archive: ImageArchive, index: ArchiveIndex, folder: string): Promise<void> {
  const { name } = archive;
  const image = dockerImage(index, name);
  const subject = `${name}: config`;
  const configBytes = documentOf(index, image.Config, subject);
  const digest = digestOf(configBytes);
  const [named] = /[0-9a-f]{64}/.exec(image.Config) ?? [];
  if (named !== undefined && named !== hexOf(digest)) {
    throw new UserError(`${subject}: ${JSON.stringify(image.Config)} has digest ${digest}: it was changed`);
  }
  const config = parseDocument(ImageConfig, configBytes, subject);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== image.Layers.length) {
    throw new UserError(
      `${name}: manifest.json lists ${image.Layers.length} layers, the config ${diffIds.length} diff IDs; expected one for each layer`,
    );
  }
  await checkLayoutAgrees(archive, index, digest);
  const files = image.Layers.map((layer) => followName(index, layer, `${name}: layer`));
  const wanted = new Map<string, DiffId>();
  for (const [position, file] of files.entries()) {
    const diffId = diffIds[position];
    if (diffId === undefined) continue;
    const other = wanted.get(file);
    if (other !== undefined && other !== diffId) {
      throw new UserError(`${name}: layer ${JSON.stringify(file)} stands for two diff IDs`);
    }
    wanted.set(file, diffId);
  }
  const layers = new Map<string, Descriptor>();
  await visitMembers(archive.path, name, {
    signal: archive.signal,
    visit: async (member, _header, content) => {
      const diffId = wanted.get(member);
      if (diffId !== undefined) layers.set(member, await takeLayer({ ...archive, folder }, content, diffId));
    },
  });
  await writeSmallFile(join(folder, blobPath(digest)), configBytes);
  await writeManifest(folder, {
    config: { mediaType: mediaTypes.ociConfig, digest, size: configBytes.length },
    layers: files.flatMap((file) => layers.get(file) ?? []),
  });
}

function dockerImage(index: ArchiveIndex, name: string): z.output<typeof DockerManifests>[number] {
  const subject = `${name}: manifest.json`;
  const bytes = documentOf(index, "manifest.json", subject);
  if (bytes.length > manifestLimit) {
    throw new UserError(`${subject}: has ${bytes.length} bytes; expected ${manifestLimit} at most`);
  }
  const images = parseDocument(DockerManifests, bytes, subject);
  const [only, ...others] = images;
  if (only === undefined) throw new UserError(`${subject}: lists no image; expected one`);
  if (others.length === 0) return only;
  const tags = images.flatMap(({ RepoTags }) => RepoTags ?? []);
  throw new UserError(
    `${subject}: lists ${images.length} images (${tags.slice(0, 5).join(", ")}); save the one you need alone`,
  );
}

/** An archive of both forms must mean one image by both. */
async function checkLayoutAgrees(
  { name, signal }: ImageArchive,
  index: ArchiveIndex,
  config: Digest,
): Promise<void> {
  if (!index.members.has("index.json") || !index.members.has("oci-layout")) return;
  const subject = `${name}: index.json`;
  const { manifests } = parseDocument(Index, documentOf(index, "index.json", subject), subject);
  const blobs = {
    where: name,
    open: async ({ digest }: Descriptor) => Readable.from([documentOf(index, blobPath(digest), subject)]),
  };
  for (const top of manifests) {
    const { images } = await readTree(blobs, top, signal);
    if (images.some((image) => configDigestOf(image) === config)) return;
  }
  throw new UserError(`${name}: its manifest.json and its index.json name different images; write it anew`);
}

type LayoutTarget = ImageArchive & { readonly folder: string };

/** Writes a layer as a blob, in the compression it has, once its plain bytes have proved to be the diff ID's. */
async function takeLayer(
  { name, folder, signal }: LayoutTarget,
  content: Readable,
  diffId: DiffId,
): Promise<Descriptor> {
  const file = join(folder, "incoming");
  const { digest, size } = await writeHashed(content, file, signal);
  const compression = compressionOf(await headOf(file));
  const plain = compression === "none" ? digest : await plainDigest(file, { compression, signal, name });
  if (plain !== diffId) {
    throw new UserError(`${name}: a layer has diff ID ${plain}, its config says ${diffId}: it was damaged`);
  }
  await rename(file, join(folder, blobPath(digest)));
  return { mediaType: layerMediaType(compression), digest, size };
}

async function writeHashed(
  content: Readable,
  file: string,
  signal: AbortSignal,
): Promise<{ digest: Digest; size: number }> {
  const hash = createHash("sha256");
  let size = 0;
  await using output = await open(file, "w", 0o600);
  async function* hashed(source: AsyncIterable<Buffer>) {
    for await (const chunk of source) {
      hash.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  }
  await output
    .writeFile(hashed(content as AsyncIterable<Buffer>), { signal })
    .catch(async (thrown: unknown) => {
      throw await writeProblem(thrown, file);
    });
  return { digest: `sha256:${hash.digest("hex")}` as Digest, size };
}

async function plainDigest(
  file: string,
  { compression, signal, name }: { compression: Compression; signal: AbortSignal; name: string },
): Promise<string> {
  const hash = createHash("sha256");
  const bytes: AsyncIterable<Buffer> = createReadStream(file, { signal, highWaterMark: 1024 * 1024 });
  try {
    for await (const chunk of decompress(compression, bytes)) hash.update(chunk);
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof UndecompressableError)) throw thrown;
    throw new UserError(`${name}: a layer can't be decompressed (${thrown.message}): it was damaged`);
  }
  return `sha256:${hash.digest("hex")}`;
}

async function writeManifest(
  folder: string,
  parts: { readonly config: Descriptor; readonly layers: readonly Descriptor[] },
): Promise<void> {
  const mediaType = mediaTypes.ociManifest;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...parts }));
  const top = { mediaType, digest: digestOf(bytes), size: bytes.length };
  await writeSmallFile(join(folder, blobPath(top.digest)), bytes);
  await writeSmallFile(join(folder, "oci-layout"), layoutMarker);
  await writeSmallFile(join(folder, "index.json"), layoutIndex(top, []));
}

/** Takes the blobs of an OCI layout that was packed as it is; what no digest names stays where it is. */
async function copyLayout(archive: ImageArchive, index: ArchiveIndex, folder: string): Promise<void> {
  const { name, path, signal } = archive;
  for (const file of ["oci-layout", "index.json"]) {
    await writeSmallFile(join(folder, file), documentOf(index, file, `${name}: ${file}`));
  }
  await visitMembers(path, name, {
    signal,
    visit: async (member, { type }, content) => {
      const [, hex] = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(member) ?? [];
      if (hex === undefined || type !== "file") return;
      const file = join(folder, "incoming");
      const { digest } = await writeHashed(content, file, signal);
      if (hexOf(digest) !== hex) {
        throw new UserError(`${name}: blob sha256:${hex} has digest ${digest}: it was damaged`);
      }
      await rename(file, join(folder, blobPath(digest)));
    },
  });
}
