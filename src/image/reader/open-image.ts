import { stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import type { Platform } from "../descriptor.ts";
import type { Digest } from "../digest.ts";
import { formatPlatform, isSamePlatform, runnablePlatforms } from "../platform.ts";
import { archiveFiles } from "./archive-files.ts";
import { checkFormsAgree, readDockerForm } from "./docker-form.ts";
import { folderFiles } from "./folder-files.ts";
import type { ImageFiles } from "./image-files.ts";
import { type FoundImage, readLayoutForm } from "./layout-form.ts";
import { PrivateLayout } from "./private-layout.ts";

export interface ImageArg {
  /** The param, for messages: `image_args.base_image`. */
  readonly name: string;
  /** A real path: a file, or a folder. */
  readonly path: string;
  /** The real path of the folder that the inputs lie in, within which links may lead. */
  readonly root: string;
  /** A private folder, for the blobs of an archive. */
  readonly workspace: string;
  /** The platforms that the image has to serve. */
  readonly platforms: readonly Platform[];
  readonly log: Pick<Log, "line" | "warn">;
  readonly signal: AbortSignal;
}

/** An image that BuildKit can be given as `oci-layout`: a folder with `blobs/`, and the manifest or index in it. */
export interface OpenedImage {
  readonly layout: string;
  readonly digest: Digest;
}

/**
 * Opens an image among the inputs: an archive as `docker save` writes it (in its old form, or with an OCI layout in
 * it; compressed is fine), an OCI layout, or the folder of a get or of an oci-build task with either in it.
 * @throws UserError when there is no image, several, a damaged one, or an index without the build's platforms
 */
export async function openImageArg(arg: ImageArg): Promise<OpenedImage> {
  const files = await findImage(arg);
  const found = await readImage(files, arg);
  checkPlatforms(found, arg);
  const layout = await PrivateLayout.create(arg);
  const top = await found.place(layout);
  await layout.finish(top);
  return { layout: layout.folder, digest: top.digest };
}

type ReadImage = Pick<FoundImage, "isIndex" | "absent" | "place"> & {
  readonly platforms: readonly Platform[];
};

/** An archive of both forms must mean one image by both; its layout says more, such as further platforms. */
async function readImage(files: ImageFiles, { name, signal }: ImageArg): Promise<ReadImage> {
  const isDocker = files.find("manifest.json") !== undefined;
  const isLayout = files.find("index.json") !== undefined;
  if (!isDocker && !isLayout) {
    throw new UserError(
      `${name}: the archive has neither manifest.json nor index.json; expected what "docker save" writes, or an OCI layout`,
    );
  }
  const docker = isDocker ? await readDockerForm(files) : undefined;
  if (docker !== undefined && !isLayout)
    return { ...docker, platforms: [docker.platform], isIndex: false, absent: [] };
  const found = await readLayoutForm(files, signal);
  if (docker !== undefined) checkFormsAgree(found, docker, name);
  return { ...found, platforms: found.images.map(({ platform }) => platform) };
}

/** What a folder may hold, as the gets of several resources deliver it. */
const imagePlaces = [
  { kind: "layout", name: "." },
  { kind: "layout", name: "image" },
  // As the registry-image resource's get delivers it with `format: oci-layout`.
  { kind: "layout", name: "oci" },
  { kind: "archive", name: "image.tar" },
  // As the docker-image resource's get delivers it with `save: true`.
  { kind: "archive", name: "image" },
] as const;

async function findImage(arg: ImageArg): Promise<ImageFiles> {
  const { path, name, root } = arg;
  if (!(await stat(path)).isDirectory()) return archiveFiles(arg);
  const roots = [path, root];
  const inputs = folderFiles(path, roots, name);
  for (const candidate of imagePlaces) {
    if (candidate.kind === "layout") {
      if (inputs.find(join(candidate.name, "oci-layout")) === undefined) continue;
      return folderFiles(join(path, candidate.name), roots, name);
    }
    const file = (await isFile(join(path, candidate.name))) ? inputs.find(candidate.name) : undefined;
    if (file !== undefined) return archiveFiles({ ...arg, path: file.path });
  }
  const isRoot = (await stat(join(path, "rootfs")).catch(() => undefined))?.isDirectory() === true;
  const hint = isRoot
    ? '; a get of the registry-image resource delivers one with "params: {format: oci}"'
    : "";
  throw new UserError(
    `${name}: the folder holds no image; expected an OCI layout (oci-layout, index.json, blobs/), or image.tar or image/ as a get delivers them${hint}`,
  );
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

/**
 * Of an index BuildKit takes the manifest of the platform that it builds for, so that has to be there. A manifest alone
 * it takes whatever its platform: as a stage of data, or with emulation, it may be right.
 */
function checkPlatforms(
  { platforms: own, isIndex, absent }: ReadImage,
  { name, platforms, log }: ImageArg,
): void {
  // An image that names no platform is for none in particular.
  const known = own.filter(({ os, architecture }) => `${os}${architecture}` !== "");
  if (known.length === 0) return;
  const there = [...new Set(known.map(formatPlatform))].join(", ");
  for (const wanted of platforms) {
    const serving = runnablePlatforms(wanted);
    const serves = (platform: Platform) => serving.some((one) => isSamePlatform(one, platform));
    if (known.some(serves)) continue;
    if (absent.some(({ platform }) => platform !== undefined && serves(platform))) {
      throw new UserError(
        `${name}: the image's index names ${formatPlatform(wanted)}, but only ${there} was saved with it; save it with that platform`,
      );
    }
    if (isIndex) {
      throw new UserError(
        `${name}: the image is for ${there}, and the build for ${formatPlatform(wanted)}; give an image for that platform`,
      );
    }
    log.warn(
      `${name}: the image is for ${there}, and the build for ${formatPlatform(wanted)}: its files can be used, but its programs only run under emulation`,
    );
  }
}
