import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { gzip, zstdCompress } from "node:zlib";
import { execa } from "execa";
import type { Header } from "tar-stream";
import { pack } from "tar-stream";
import type { Descriptor, Platform } from "../../../src/image/descriptor.ts";
import { type ConfigDigest, type DiffId, type Digest, digestOf, hexOf } from "../../../src/image/digest.ts";
import { mediaTypes } from "../../../src/image/media-types.ts";
import { type RegistryLogin, regctl } from "./regctl.ts";

/** A tar member: header fields as tar-stream names them, and the content of a file. */
export interface Entry extends Partial<Header> {
  readonly name: string;
  readonly content?: string | Uint8Array;
}

/** A layer as tar members, or as the bytes of a tar archive. */
export type LayerContent = readonly Entry[] | Uint8Array;

export type Compression = "gzip" | "zstd" | "none";

export interface ImageRecipe {
  /** Lowest first; by default one layer with busybox. */
  readonly layers?: readonly LayerContent[];
  /** This machine's unless told otherwise. */
  readonly platform?: Platform;
  /** The `config` of the image's configuration: Env, Cmd, Labels … (OCI image-spec, config.md). */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly compression?: Compression;
  /** Media types of the OCI or of Docker's schema 2 (which knows no zstd). */
  readonly types?: "oci" | "docker";
}

export interface MadeLayer {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
  /** The plain tar archive. */
  readonly tar: Buffer;
}

export interface MadeImage {
  readonly manifest: Descriptor;
  readonly config: Descriptor & { readonly digest: ConfigDigest };
  readonly layers: readonly MadeLayer[];
}

export interface MadeLayout {
  readonly folder: string;
  /** What `index.json` names: the image's manifest, or the index over several images. */
  readonly descriptor: Descriptor;
  readonly images: readonly MadeImage[];
}

/** The platform of this machine, by its name in Go's terms (OCI image-spec, config.md). */
export const nativePlatform: Platform = {
  os: "linux",
  architecture: process.arch === "x64" ? "amd64" : process.arch,
};

/** Writes an OCI image layout (image-layout.md) with one image, or with an index over several. */
export async function writeLayout(folder: string, ...recipes: readonly ImageRecipe[]): Promise<MadeLayout> {
  await mkdir(join(folder, "blobs/sha256"), { recursive: true });
  const images: MadeImage[] = [];
  for (const recipe of recipes.length === 0 ? [{}] : recipes) images.push(await writeImage(folder, recipe));
  const manifests = images.map((image) => image.manifest);
  const docker = recipes[0]?.types === "docker";
  const mediaType = docker ? mediaTypes.dockerIndex : mediaTypes.ociIndex;
  const [only] = manifests;
  const descriptor =
    manifests.length === 1 && only !== undefined
      ? only
      : await writeDocument(folder, mediaType, { schemaVersion: 2, mediaType, manifests });
  await writeIndex(folder, [descriptor]);
  return { folder, descriptor, images };
}

/** Writes `oci-layout` and `index.json` over blobs that are there. */
export async function writeIndex(folder: string, manifests: readonly Descriptor[]): Promise<void> {
  await writeFile(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  await writeFile(join(folder, "index.json"), JSON.stringify(index));
}

/** Writes an image's layers, config and manifest into the layout at `folder`; its index is left alone. */
export async function writeImage(folder: string, recipe: ImageRecipe = {}): Promise<MadeImage> {
  const layers: MadeLayer[] = [];
  for (const content of recipe.layers ?? [await busyboxLayer()]) {
    layers.push(await writeLayer(folder, content, recipe));
  }
  return writeImageOf(folder, layers, recipe);
}

/** Writes one layer as a blob. */
export async function writeLayer(
  folder: string,
  content: LayerContent,
  { compression = "gzip", types = "oci" }: ImageRecipe = {},
): Promise<MadeLayer> {
  const tar = content instanceof Uint8Array ? Buffer.from(content) : await packTar(content);
  const mediaType = layerType(compression, types === "docker");
  const descriptor = await writeBlob(folder, mediaType, await compress(tar, compression));
  return { descriptor, diffId: digestOf(tar) as DiffId, tar };
}

/** Writes config and manifest of an image with these layers, which are there. */
export async function writeImageOf(
  folder: string,
  layers: readonly MadeLayer[],
  recipe: Omit<ImageRecipe, "layers" | "compression"> = {},
): Promise<MadeImage> {
  const { platform = nativePlatform, types = "oci" } = recipe;
  const docker = types === "docker";
  const config = await writeDocument(folder, docker ? mediaTypes.dockerConfig : mediaTypes.ociConfig, {
    created: "2024-01-01T00:00:00Z",
    ...platform,
    config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], ...recipe.config },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map(() => ({ created: "2024-01-01T00:00:00Z", created_by: "made by a test" })),
  });
  const mediaType = docker ? mediaTypes.dockerManifest : mediaTypes.ociManifest;
  const document = { schemaVersion: 2, mediaType, config, layers: layers.map((layer) => layer.descriptor) };
  const manifest = { ...(await writeDocument(folder, mediaType, document)), platform };
  return { manifest, config: config as MadeImage["config"], layers };
}

/** Writes bytes as a blob of the layout at `folder`. */
export async function writeBlob(folder: string, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  const digest: Digest = digestOf(bytes);
  await writeFile(join(folder, "blobs/sha256", hexOf(digest)), bytes);
  return { mediaType, digest, size: bytes.length };
}

/** Writes a value as the JSON document of a blob. */
export function writeDocument(folder: string, mediaType: string, document: unknown): Promise<Descriptor> {
  return writeBlob(folder, mediaType, Buffer.from(JSON.stringify(document)));
}

/** Copies what a layout's `index.json` names to a registry of the test, as `reference` (`127.0.0.1:port/name:tag`). */
export async function pushLayout(folder: string, reference: string, login?: RegistryLogin): Promise<void> {
  const host = reference.slice(0, reference.indexOf("/"));
  const index: { manifests: Descriptor[] } = JSON.parse(await readFile(join(folder, "index.json"), "utf8"));
  const digest = index.manifests[0]?.digest;
  await regctl(
    host,
    ["image", "copy", "--force-recursive", `ocidir://${folder}@${digest}`, reference],
    login,
  );
}

/** A layer that makes a small system: busybox, a link for each of its commands, the usual folders and accounts. */
export async function busyboxLayer(): Promise<Entry[]> {
  const program = "/bin/busybox";
  const { stdout } = await execa(program, ["--list"]);
  const folders = ["bin/", "dev/", "etc/", "proc/", "root/", "sys/", "tmp/", "usr/", "usr/bin/", "var/"];
  return [
    ...folders.map((name): Entry => ({ name, type: "directory", mode: name === "tmp/" ? 0o1777 : 0o755 })),
    { name: "bin/busybox", mode: 0o755, content: await readFile(program) },
    ...stdout
      .split("\n")
      .filter((name) => name !== "busybox")
      .map((name): Entry => ({ name: `bin/${name}`, type: "symlink", linkname: "busybox", mode: 0o777 })),
    {
      name: "etc/passwd",
      content: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    },
    { name: "etc/group", content: "root:x:0:\nnogroup:x:65534:\n" },
  ];
}

/** Packs tar members; owner root, mode 0644 and a fixed time where the member names none. */
export async function packTar(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  const bytes = buffer(archive);
  for (const { content = "", ...headers } of entries) {
    const defaults = { mode: 0o644, uid: 0, gid: 0, mtime: new Date("2024-01-01T00:00:00Z") };
    archive.entry({ ...defaults, ...headers }, Buffer.from(content));
  }
  archive.finalize();
  return bytes;
}

function layerType(compression: Compression, docker: boolean): string {
  if (compression === "zstd") return mediaTypes.ociLayerZstd;
  if (compression === "gzip") return docker ? mediaTypes.dockerLayerGzip : mediaTypes.ociLayerGzip;
  return docker ? mediaTypes.dockerLayer : mediaTypes.ociLayer;
}

async function compress(tar: Buffer, compression: Compression): Promise<Buffer> {
  if (compression === "none") return tar;
  return compression === "gzip" ? promisify(gzip)(tar, { level: 1 }) : promisify(zstdCompress)(tar);
}
