import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import type { Platform } from "../descriptor.ts";
import type { Digest } from "../digest.ts";
import { formatPlatform, isSamePlatform, runnablePlatforms } from "../platform.ts";
import { archiveFiles } from "./archive-files.ts";
import { checkFormsAgree, readDockerForm } from "./docker-form.ts";
import { folderFiles } from "./folder-files.ts";
import { hintAtGet } from "./get-without-image.ts";
import { type ImageFiles, shownName } from "./image-files.ts";
import { type FoundImage, readLayoutForm } from "./layout-form.ts";
import { archivesIn, archiveWithoutImage } from "./no-image.ts";
import { PrivateLayout } from "./private-layout.ts";

export interface ImageArg {
  /** The param, for messages: `image_args.base_image`. */
  readonly name: string;
  /** A real path: a file, or a folder. */
  readonly path: string;
  /** The real path of the folder that holds the inputs. Links may lead anywhere in it. */
  readonly root: string;
  /** A private folder, for the blobs of an archive. */
  readonly workspace: string;
  /** The platforms that the image is needed for. */
  readonly platforms: readonly Platform[];
  readonly log: Pick<Log, "line" | "warn">;
  readonly signal: AbortSignal;
}

/** An image that BuildKit can use as `oci-layout`: a folder with `blobs/`, and the manifest or index in it. */
export interface OpenedImage {
  readonly layout: string;
  readonly digest: Digest;
}

/**
 * Opens an image among the inputs. It may be an archive as `docker save` writes it (in its old form or with an OCI
 * layout, compressed or not), the folder that such an archive was unpacked into, or an OCI layout. It may also be the
 * folder of a get or of an oci-build task that holds one of these.
 * @throws UserError when there is no image, there are several, it is damaged, or its index lacks the build's
 * platforms
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

/**
 * If an archive has both forms, they must name the same image. Then the layout is used, because it says more, for
 * example about further platforms.
 */
async function readImage(files: ImageFiles, { name, signal }: ImageArg): Promise<ReadImage> {
  const isDocker = files.find("manifest.json") !== undefined;
  const isLayout = files.find("index.json") !== undefined;
  if (!isDocker && !isLayout) throw new UserError(`${name}: ${archiveWithoutImage(files.names?.() ?? [])}`);
  const docker = isDocker ? await readDockerForm(files) : undefined;
  if (docker !== undefined && !isLayout)
    return { ...docker, platforms: [docker.platform], isIndex: false, absent: [] };
  const found = await readLayoutForm(files, signal);
  if (docker !== undefined) checkFormsAgree(found, docker, name);
  return { ...found, platforms: found.images.map(({ platform }) => platform) };
}

/** Where a folder may hold the image, as the gets of several resources deliver it. */
const imagePlaces = [
  { kind: "folder", name: ".", marker: "oci-layout" },
  { kind: "folder", name: "image", marker: "oci-layout" },
  // The registry-image resource's get delivers this with `format: oci-layout`.
  { kind: "folder", name: "oci", marker: "oci-layout" },
  { kind: "archive", name: "image.tar" },
  // The docker-image resource's get delivers this with `save: true`.
  { kind: "archive", name: "image" },
  // What `docker save` wrote, unpacked. Last, because other folders have a manifest.json too.
  { kind: "folder", name: ".", marker: "manifest.json" },
] as const;

async function findImage(arg: ImageArg): Promise<ImageFiles> {
  const { path, name, root } = arg;
  if (!(await stat(path)).isDirectory()) return archiveFiles(arg);
  const roots = [path, root];
  const inputs = folderFiles(path, roots, name);
  for (const candidate of imagePlaces) {
    if (candidate.kind === "folder") {
      if (inputs.find(join(candidate.name, candidate.marker)) === undefined) continue;
      return folderFiles(join(path, candidate.name), roots, name);
    }
    const file = (await isFile(join(path, candidate.name))) ? inputs.find(candidate.name) : undefined;
    if (file !== undefined) return archiveFiles({ ...arg, path: file.path });
  }
  const hint =
    (await hintAtGet(basename(path) === "rootfs" ? dirname(path) : path)) ?? (await hintAtFile(path));
  throw new UserError(
    `${name}: the folder holds no image; expected an OCI layout (oci-layout, index.json, blobs/), or image.tar or image/ as a get delivers them${hint === undefined ? "" : `; ${hint}`}`,
  );
}

/** A get of a file (s3, github-release) delivers it by a name of its own. */
async function hintAtFile(path: string): Promise<string | undefined> {
  const [first] = await archivesIn(path);
  return first && `if ${shownName(first)} in it is the image, add that to the path`;
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

/**
 * From an index BuildKit takes the manifest of the platform that it builds for, so that manifest must exist. A
 * manifest that isn't in an index is used whatever its platform. This may be intended: a stage may only copy its
 * data, or run it with emulation. So it only causes a warning.
 */
function checkPlatforms(
  { platforms: own, isIndex, absent }: ReadImage,
  { name, platforms, log }: ImageArg,
): void {
  // An image that names no platform isn't for any particular one.
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
        `${name}: the image is for ${there}, but the build is for ${formatPlatform(wanted)}; give an image for that platform`,
      );
    }
    log.warn(
      `${name}: the image is for ${there}, but the build is for ${formatPlatform(wanted)}: its files can be used, but its programs only run under emulation`,
    );
  }
}
