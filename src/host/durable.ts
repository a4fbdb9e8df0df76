import { randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm, statfs, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errorCode, UserError } from "./errors.ts";

/**
 * Writes a file whole or not at all: `write` fills a new file beside it, which is flushed to the disk and then
 * takes the name, over whatever had it. The folder must be there.
 * @param size what is to be written, in bytes, where that is known
 * @throws UserError when the disk is full or can't be written
 */
export async function writeDurably(
  path: string,
  write: (file: FileHandle) => Promise<void>,
  size?: number,
): Promise<void> {
  const beside = besideOf(path);
  try {
    await writeFlushed(beside, write);
    await rename(beside, path);
    await flushFolder(dirname(path));
  } catch (error) {
    const problem = await writeProblem(error, path, size);
    await rm(beside, { force: true });
    throw problem;
  }
}

/**
 * Writes a file that only this step reads, or that a later rename publishes; nothing is flushed to the disk.
 * @throws UserError when the disk is full or can't be written, with the path, which Node's own error lacks
 */
export async function writeSmallFile(
  path: string,
  content: string | Uint8Array,
  options: { readonly mode?: number; readonly flag?: "w" | "wx" } = {},
): Promise<void> {
  await writeFile(path, content, options).catch(async (thrown: unknown) => {
    throw await writeProblem(thrown, path);
  });
}

/** Fills a new file and flushes it to the disk. Its name may still be lost with the power: see {@link flushFolder}. */
export async function writeFlushed(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  await using file = await open(path, "wx", 0o644);
  await write(file);
  await file.sync();
}

/** Writes bytes into a new file and flushes them to the disk. See {@link writeFlushed}. */
export function writeFlushedBytes(path: string, bytes: Uint8Array): Promise<void> {
  return writeFlushed(path, (file) => file.writeFile(bytes));
}

/** A name in the same folder, thus on the same filesystem, that no reader takes for the finished thing. */
export function besideOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.part`);
}

/** Makes renames and new names in a folder outlast a power cut (fsync(2), on the folder itself). */
export async function flushFolder(path: string): Promise<void> {
  await using folder = await open(path, "r");
  await folder.sync();
}

/**
 * What to throw for an error met while writing `path`: a full or read-only disk is for the operator to put right,
 * so it gets a message with the path, the room left and, where known, the bytes needed; else the error itself.
 * To be asked before what was written is removed: the room left is that of the moment.
 */
export async function writeProblem(
  error: unknown,
  path: string | undefined,
  needed?: number,
): Promise<unknown> {
  const size = needed === undefined ? "" : `; ${needed} bytes are to be written`;
  const what = path ?? "a file of this step";
  switch (errorCode(error) ?? "") {
    case "ENOSPC":
      return new UserError(
        `${what}: the disk is full${path === undefined ? "" : `, ${await room(dirname(path))}`}${size}. Make room on it or use another`,
        { cause: error },
      );
    case "EDQUOT":
      return new UserError(`${what}: the disk quota is used up${size}. Raise it or make room`, {
        cause: error,
      });
    case "EROFS":
      return new UserError(
        `${what}: the disk is mounted read-only${size}. Mount it writable or use another`,
        {
          cause: error,
        },
      );
    default:
      return error;
  }
}

async function room(folder: string): Promise<string> {
  const disk = await diskOf(folder);
  if (disk === undefined) return "its size isn't known";
  const { free, size, files, freeFiles } = disk;
  const noFiles = files > 0 && freeFiles === 0 ? `, but no more files fit on it (it holds ${files})` : "";
  return `${free} of its ${size} bytes are free${noFiles}`;
}

interface Disk {
  /** Bytes. */
  readonly free: number;
  readonly size: number;
  /** Inodes; 0 where the filesystem has no limit. */
  readonly files: number;
  readonly freeFiles: number;
}

/** Of the filesystem that a path is on, or would be. */
async function diskOf(path: string): Promise<Disk | undefined> {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize, blocks, files, ffree } = await statfs(at);
      return { free: bavail * bsize, size: blocks * bsize, files, freeFiles: ffree };
    } catch {
      if (at === dirname(at)) return undefined;
    }
  }
}

/** A disk with less room than this, in bytes, can be what a program meant that found its disk full. */
const nearlyNothing = 1024 * 1024;

/**
 * Which of these paths lie on a full disk, in words for an error; for programs that only say that some disk is full.
 * @param isNamed tells those that the program named
 */
export async function fullDisks(
  paths: readonly string[],
  isNamed: (path: string) => boolean,
): Promise<string | undefined> {
  const found = await Promise.all(
    [...new Set(paths)].map(async (path) => {
      const disk = await diskOf(path);
      const isFull =
        isNamed(path) ||
        (disk !== undefined && (disk.free < nearlyNothing || (disk.files > 0 && disk.freeFiles === 0)));
      return isFull ? [`${path}: the disk is full, ${await room(path)}. Make room on it or use another`] : [];
    }),
  );
  return found.flat().join("\n") || undefined;
}

/**
 * What to throw for any error that comes to the surface: a system error that tells of a disk becomes one for the
 * operator, with the path that the error itself names, if it does.
 */
export async function surfaceProblem(error: unknown): Promise<unknown> {
  const path = error instanceof Error && "path" in error ? error.path : undefined;
  return writeProblem(error, typeof path === "string" ? path : undefined);
}
