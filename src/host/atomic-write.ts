import { randomBytes } from "node:crypto";
import { closeSync, fsync, openSync, writeFileSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { writeProblem } from "./disk-errors.ts";

/**
 * Writes a file completely or not at all. `write` fills a new file beside it, whose path it gets. The file is flushed
 * to the disk and then renamed, replacing a file of that name. The folder must exist.
 * @param size bytes that will be written, if known
 * @throws UserError when the disk is full or can't be written
 */
export async function writeDurably(
  path: string,
  write: (file: FileHandle, path: string) => Promise<void>,
  size?: number,
): Promise<void> {
  const beside = besideOf(path);
  try {
    await writeFlushed(beside, (opened) => write(opened, beside));
    await rename(beside, path);
    await flushFolder(dirname(path));
  } catch (error) {
    const problem = await writeProblem(error, path, size);
    await rm(beside, { force: true });
    throw problem;
  }
}

/**
 * Writes a file that only this step reads, or that a later rename publishes. Nothing is flushed to the disk.
 * @throws UserError when the disk is full or can't be written, with the path, which Node's own error lacks
 */
export async function writeSmallFile(
  path: string,
  content: string | Uint8Array,
  options: { readonly mode?: number; readonly flag?: "w" | "wx" } = {},
): Promise<void> {
  try {
    writeFileSync(path, content, options);
  } catch (thrown) {
    throw await writeProblem(thrown, path);
  }
}

/**
 * Fills a new file and flushes it to the disk. Its name may still be lost in a power cut: see {@link flushFolder}.
 */
export async function writeFlushed(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  await using file = await open(path, "wx", 0o644);
  await write(file);
  await file.sync();
}

/**
 * Flushes files to the disk while more is written, so that little is left to be flushed at the end. One after the
 * other, because a flush holds one of the few threads in which Node reads and writes files.
 */
export class EarlyFlushes {
  #last: Promise<void> = Promise.resolve();

  /** Flushes what has been written to a file until now. */
  async flush(file: FileHandle): Promise<void> {
    const earlier = this.#last;
    const flushing = earlier.catch(() => {}).then(() => file.datasync());
    this.#last = flushing;
    await flushing;
  }
}

/** Writes some kilobytes into a new file and flushes them to the disk. See {@link writeFlushed}. */
export async function writeFlushedBytes(path: string, bytes: Uint8Array): Promise<void> {
  writeFileSync(path, bytes, { flag: "wx", mode: 0o644 });
  await flush(path);
}

/**
 * A temporary name in the same folder, and so on the same filesystem, that no reader mistakes for the finished
 * file.
 */
export function besideOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.part`);
}

/** Makes renames and new names in a folder survive a power cut (fsync(2) on the folder itself). */
export function flushFolder(path: string): Promise<void> {
  return flush(path);
}

/**
 * Flushes a file or folder to the disk. Only the flush itself waits for the disk; the other calls take less time than
 * Node's way to another thread and back.
 */
export async function flush(path: string): Promise<void> {
  // Opened for reading, because buildctl makes its blobs read-only.
  const fd = openSync(path, "r");
  try {
    await promisify(fsync)(fd);
  } finally {
    closeSync(fd);
  }
}
