import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { errorCode, UserError } from "./errors.ts";

/**
 * What to throw for an error met while writing `path`. A full or read-only disk is the operator's to fix, so it
 * gets a message with the path, the free space and, if known, the bytes needed. Any other error is returned
 * unchanged.
 *
 * Call it before what was written is removed: it reports the free space of this moment.
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
        `${what}: the disk is full${path === undefined ? "" : `, ${await roomOn(dirname(path))}`}${size}. Make room on it or use another`,
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

async function roomOn(folder: string): Promise<string> {
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
  /** Inodes; 0 if the filesystem has no limit. */
  readonly files: number;
  readonly freeFiles: number;
}

/** The filesystem that a path is on, or would be on if it existed. */
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

/** Bytes. A program that found its disk full may have meant any disk with less free space than this. */
const nearlyNothing = 1024 * 1024;

/**
 * Describes which of these paths lie on a full disk, for programs that don't say which disk is full.
 * @param isNamed whether the program named this path
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
      return isFull
        ? [`${path}: the disk is full, ${await roomOn(path)}. Make room on it or use another`]
        : [];
    }),
  );
  return found.flat().join("\n") || undefined;
}

/**
 * What to throw for an error that no other code has handled: a system error about a disk becomes a message for the
 * operator, with the path that the error names, if any.
 */
export async function surfaceProblem(error: unknown): Promise<unknown> {
  const path = error instanceof Error && "path" in error ? error.path : undefined;
  return writeProblem(error, typeof path === "string" ? path : undefined);
}
