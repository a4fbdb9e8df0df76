import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  realpathSync,
} from "node:fs";
import { join, sep } from "node:path";
import * as z from "zod";
import { errorCode, UserError } from "../host/errors.ts";
import type { Blobs } from "./blobs.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Digest, hexOf } from "./digest.ts";
import { Index, parseDocument } from "./documents.ts";
import { documentLimit } from "./verify.ts";

const LayoutMarker = z.looseObject({ imageLayoutVersion: z.string() });
const layoutVersion = "1.0.0";
const readChunk = 1024 * 1024;

/**
 * Reads the `index.json` of an OCI image layout (image-layout.md). It has no digest to check it against.
 * @param where names the layout in messages
 * @throws UserError when the folder isn't one, or has another version
 */
export function readLayoutIndex(folder: string, where = `OCI layout ${folder}`): Index {
  checkLayoutMarker(readSmallFile(join(folder, "oci-layout"), `${where}: oci-layout`), where);
  const subject = `${where}: index.json`;
  const index = parseDocument(Index, readSmallFile(join(folder, "index.json"), subject), subject);
  if ("layers" in index || "config" in index) {
    throw new UserError(
      `${subject}: has fields of a manifest (config, layers); expected an index (manifests)`,
    );
  }
  return index;
}

/**
 * Checks the content of `oci-layout`.
 * @throws UserError when it names another version
 */
export function checkLayoutMarker(bytes: Uint8Array, where: string): void {
  const { imageLayoutVersion } = parseDocument(LayoutMarker, bytes, `${where}: oci-layout`);
  if (imageLayoutVersion === layoutVersion) return;
  throw new UserError(
    `${where}: oci-layout has imageLayoutVersion ${JSON.stringify(imageLayoutVersion.slice(0, 40))}; expected ${JSON.stringify(layoutVersion)}`,
  );
}

/**
 * The blobs of a layout. Its `index.json` isn't read and need not exist.
 * @throws UserError when its symbolic links lead out of its folder
 */
export function layoutBlobs(folder: string, where = `OCI layout ${folder}`): Blobs {
  const blobs = blobsFolder(folder, where);
  const pathOf = ({ digest }: Descriptor): string => join(blobs, hexOf(digest));
  return {
    where,
    async open(descriptor) {
      const { fd } = openPlain(pathOf(descriptor), `${where}: blob ${descriptor.digest}`);
      return createReadStream("", { fd, highWaterMark: readChunk });
    },
    file(descriptor) {
      const path = pathOf(descriptor);
      const isPlain = lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
      return isPlain ? path : undefined;
    },
    kept: true,
  };
}

/** Where a layout keeps a blob, relative to its folder. */
export function blobPath(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

function blobsFolder(folder: string, where: string): string {
  const root = realFolder(folder, where);
  const blobs = realFolder(join(root, "blobs/sha256"), `${where}: blobs/sha256`);
  // The real path isn't used: a folder that is reached by its open file through /proc may be renamed meanwhile.
  if (blobs.startsWith(root === sep ? sep : root + sep)) return join(folder, "blobs/sha256");
  throw new UserError(
    `${where}: its blobs folder is a symbolic link to ${blobs}; expected a folder of its own`,
  );
}

function realFolder(path: string, subject: string): string {
  try {
    return realpathSync.native(path);
  } catch (cause) {
    if (errorCode(cause) !== "ENOENT" && errorCode(cause) !== "ENOTDIR") throw cause;
    throw new UserError(
      `${subject}: no such folder; expected an OCI image layout (oci-layout, index.json, blobs/)`,
      {
        cause,
      },
    );
  }
}

/** Reads a whole file of at most `documentLimit` bytes. */
function readSmallFile(path: string, subject: string): Uint8Array {
  const { fd, size } = openPlain(path, subject);
  try {
    if (size > documentLimit) {
      throw new UserError(`${subject}: has ${size} bytes; expected ${documentLimit} at most`);
    }
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Opens regular files only: a link might lead elsewhere, and a FIFO would wait for a writer. */
function openPlain(path: string, subject: string): { readonly fd: number; readonly size: number } {
  const fd = openUnfollowed(path, subject);
  const stats = fstatSync(fd);
  if (stats.isFile()) return { fd, size: stats.size };
  closeSync(fd);
  throw new UserError(`${subject}: is not a regular file`);
}

function openUnfollowed(path: string, subject: string): number {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (cause) {
    switch (errorCode(cause) ?? "") {
      case "ENOENT":
      case "ENOTDIR":
        throw new UserError(`${subject}: there is no such file; an OCI image layout must have it`, { cause });
      case "ELOOP":
        throw new UserError(`${subject}: is a symbolic link; copy what it points to into the layout`, {
          cause,
        });
      default:
        throw cause;
    }
  }
}
