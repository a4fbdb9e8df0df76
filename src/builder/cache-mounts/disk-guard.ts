import { lstat, opendir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { errorCode } from "../../host/errors.ts";
import { entryBytes } from "./transfer-dockerfile.ts";

/** How much of a disk something may take. */
export interface DiskBudget {
  readonly bytes: number;
  /** Whether BuildKit's blobs are not counted, because an export writes others at the same time. */
  readonly ignoresBlobs: boolean;
  /** Bytes that the daemon may write besides, as far as that is known by now. */
  readonly besides?: () => number;
}

/**
 * What a transfer of at most `limit` bytes may take: they come as a blob and are unpacked and copied. An empty file counts
 * as {@link entryBytes}.
 */
export function budgetFor(limit: number, { ignoresBlobs = false } = {}): DiskBudget {
  return { bytes: 4 * limit + 128e6, ignoresBlobs };
}

export interface DiskGuard extends AsyncDisposable {
  /** Is aborted as soon as the budget, or half of what was free, is used up. */
  readonly signal: AbortSignal;
}

/** Milliseconds. A disk takes about 100 MB in this time. */
const interval = 50;

/**
 * Watches what a daemon writes to the folder of its state. Free space is cheap to ask for, but others write to
 * the same disk. So the files are counted as well, once enough space is gone.
 */
export function guardDisk(folders: readonly string[], budget: DiskBudget): DiskGuard {
  const exceeded = new AbortController();
  const ended = new AbortController();
  const watches = folders.map(async (folder) => {
    if (await exceeds(folder, budget, ended.signal)) exceeded.abort();
  });
  // A folder that can't be watched any more, as its daemon has gone, is no reason to stop anything.
  const watching = Promise.allSettled(watches);
  return {
    signal: exceeded.signal,
    async [Symbol.asyncDispose]() {
      ended.abort();
      await watching;
    },
  };
}

/** Waits until a daemon has written more than its budget to a folder; false if the watch ended before. */
async function exceeds(folder: string, budget: DiskBudget, ended: AbortSignal): Promise<boolean> {
  // The kernel's clock for files is behind by up to 10 ms.
  const since = Date.now() - 20;
  const before = await freeOn(folder);
  /** Bytes that others may have taken. */
  let others = 0;
  while (!ended.aborted) {
    const most = Math.min(budget.bytes, before.bytes / 2) + (budget.besides?.() ?? 0);
    const free = await freeOn(folder);
    // Where a filesystem has room for its inodes from the beginning, empty files take no bytes from what is free.
    const taken = before.bytes - free.bytes + (before.files - free.files) * entryBytes;
    if (free.files < before.files / 2) return true;
    if (taken - others > most) {
      const own = await bytesSince(folder, {
        since,
        most,
        skipped: budget.ignoresBlobs ? "content" : undefined,
      });
      if (own > most) return true;
      others = taken - own;
    }
    await delay(interval, undefined, { signal: ended }).catch(() => {});
  }
  return false;
}

/** Bytes, and inodes, which are as many as a number can be on filesystems without a limit. */
async function freeOn(folder: string) {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  return { bytes: bavail * bsize, files: files === 0 ? Number.MAX_SAFE_INTEGER : ffree };
}

interface Count {
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly most: number;
  /** A folder of the worker's that isn't counted. */
  readonly skipped: string | undefined;
}

/**
 * What the files below a folder take on the disk that were made since then: at least up to `most`, where it stops
 * counting. A folder that can't be read, for example because its path is too long, may hold any number of bytes. If
 * nothing was added to it since then, a build has left it: what is copied comes into new folders.
 */
async function bytesSince(folder: string, count: Count, { depth = 0, isNew = true } = {}): Promise<number> {
  let bytes = 0;
  try {
    for await (const entry of await opendir(folder)) {
      if (depth === 1 && entry.name === count.skipped) continue;
      const path = join(folder, entry.name);
      const found = await lstat(path).catch((thrown: unknown) => {
        if (errorCode(thrown) !== "ENOENT") throw thrown;
      });
      if (found === undefined) continue;
      const { ctimeMs, blocks, nlink } = found;
      const isRecent = ctimeMs >= count.since;
      const inside = { depth: depth + 1, isNew: isRecent };
      if (entry.isDirectory())
        bytes += await bytesSince(path, { ...count, most: count.most - bytes }, inside);
      else if (isRecent) bytes += entryBytes + (blocks * 512) / nlink;
      if (bytes > count.most) return bytes;
    }
  } catch (thrown) {
    if (errorCode(thrown) !== "ENOENT" && isNew) return Number.POSITIVE_INFINITY;
  }
  return bytes;
}
