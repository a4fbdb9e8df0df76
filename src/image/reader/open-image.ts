import { lstat, realpath, stat } from "node:fs/promises";
import { basename, join, sep } from "node:path";
import { UserError } from "../../host/errors.ts";
import type { Descriptor, Platform } from "../descriptor.ts";
import type { Digest } from "../digest.ts";
import { type ImageTree, readTree } from "../image-tree.ts";
import { blobPath, type Layout, openLayout } from "../layout.ts";
import { formatPlatform, isSamePlatform, runnablePlatforms } from "../platform.ts";

export interface ImageArg {
  /** The param, for messages: `image_args.base_image`. */
  readonly name: string;
  /** A real path: a file, or a folder. */
  readonly path: string;
  /** A private folder, for the blobs of an archive. */
  readonly workspace: string;
  /** The platforms that the image has to serve. */
  readonly platforms: readonly Platform[];
  readonly signal: AbortSignal;
}

/** An image that BuildKit can be given as `oci-layout`: a folder with `blobs/`, and the manifest or index in it. */
export interface OpenedImage {
  readonly layout: string;
  readonly digest: Digest;
}

/**
 * Opens an image among the inputs: an archive as `docker save` writes it (in its old form, or with an OCI layout in
 * it; gzip around it is fine), an OCI layout, or the folder of a get or of an oci-build task with either in it.
 * @throws UserError when there is no image, several, a damaged one, or none for the build's platforms
 */
export async function openImageArg(arg: ImageArg): Promise<OpenedImage> {
  const { name, signal } = arg;
  const found = await findImage(arg);
  const layout = await layoutOf(found, arg);
  const opened = await openLayout(layout, name);
  const top = onlyImage(opened.index.manifests, name);
  const tree = await readTree(opened, top, signal);
  checkPlatforms(tree, arg);
  await checkLayers(tree, opened, name);
  return { layout, digest: top.digest };
}

async function layoutOf({ kind, path }: FoundImage, arg: ImageArg): Promise<string> {
  if (kind === "layout") return path;
  // Most builds are given no archive, and don't wait for what reads one.
  const { openImageArchive } = await import("./image-tar-reader.ts");
  return openImageArchive({ ...arg, path });
}

interface FoundImage {
  readonly kind: "layout" | "archive";
  readonly path: string;
}

async function findImage({ path, name }: ImageArg): Promise<FoundImage> {
  if (!(await stat(path)).isDirectory()) return { kind: "archive", path };
  const candidates: readonly FoundImage[] = [
    { kind: "layout", path },
    { kind: "layout", path: join(path, "image") },
    // As the registry-image resource's get delivers it with `format: oci-layout`.
    { kind: "layout", path: join(path, "oci") },
    { kind: "archive", path: join(path, "image.tar") },
    // As the docker-image resource's get delivers it with `save: true`.
    { kind: "archive", path: join(path, "image") },
  ];
  for (const candidate of candidates) {
    const sign = candidate.kind === "layout" ? join(candidate.path, "oci-layout") : candidate.path;
    if ((await stat(sign).catch(() => undefined))?.isFile() !== true) continue;
    // A layout's own files are looked at where they are read.
    if (candidate.kind === "archive" && !(await realpath(sign)).startsWith(`${path}${sep}`))
      throw new UserError(`${name}: ${basename(sign)} is a symlink that leads out of its folder`);
    return candidate;
  }
  const isRoot = (await stat(join(path, "rootfs")).catch(() => undefined))?.isDirectory() === true;
  const hint = isRoot
    ? '; a get of the registry-image resource delivers one with "params: {format: oci}"'
    : "";
  throw new UserError(
    `${name}: the folder holds no image; expected an OCI layout (oci-layout, index.json, blobs/), or image.tar or image/ as a get delivers them${hint}`,
  );
}

function onlyImage(manifests: readonly Descriptor[], name: string): Descriptor {
  const [only, ...others] = manifests;
  if (only === undefined) throw new UserError(`${name}: the layout's index.json lists no image`);
  if (others.length === 0) return only;
  const listed = manifests.map(
    ({ annotations, digest }) => annotations?.["org.opencontainers.image.ref.name"] ?? digest,
  );
  throw new UserError(
    `${name}: the layout holds ${manifests.length} images (${listed.slice(0, 5).join(", ")}); expected one, or one index of several platforms`,
  );
}

/**
 * BuildKit checks each layer's digest, but only when a step needs it, and can't tell whose it is: a lack is found here.
 * A layer with `urls` has to be there as well; nothing is ever fetched from those.
 */
async function checkLayers({ images }: ImageTree, layout: Layout, name: string): Promise<void> {
  for (const { digest, size } of images.flatMap(({ manifest }) => manifest.layers)) {
    const file = join(layout.folder, blobPath(digest));
    const found = await lstat(file).catch(() => undefined);
    if (found?.isFile() !== true) throw new UserError(`${name}: the image lacks its layer ${digest}`);
    if (found.size === size) continue;
    throw new UserError(
      `${name}: layer ${digest} has ${found.size} bytes; its manifest says ${size}: it was damaged`,
    );
  }
}

/** BuildKit takes a bare manifest whatever its platform, and fails much later: so it is looked at here. */
function checkPlatforms({ images }: ImageTree, { name, platforms }: ImageArg): void {
  for (const wanted of platforms) {
    const serving = runnablePlatforms(wanted);
    if (images.some(({ platform }) => serving.some((one) => isSamePlatform(one, platform)))) continue;
    const there = [...new Set(images.map(({ platform }) => formatPlatform(platform)))].join(", ");
    throw new UserError(
      `${name}: the image is for ${there}, and the build for ${formatPlatform(wanted)}; give an image for that platform`,
    );
  }
}
