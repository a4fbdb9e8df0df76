import { open, readlink, stat } from "node:fs/promises";
import koffi from "koffi";

const libc = koffi.load(null);
const flock = libc.func("int flock(int fd, int operation)");
const renameat2 = libc.func(
  "int renameat2(int olddirfd, const char *oldpath, int newdirfd, const char *newpath, unsigned int flags)",
);

/** flock(2), `<sys/file.h>`. */
const operations = { shared: 1, exclusive: 2, nonBlocking: 4 } as const;
/** renameat2(2), `<linux/fs.h>`; `AT_FDCWD` from `<fcntl.h>`. */
const renameExchange = 2;
const currentFolder = -100;

/** An advisory lock on a folder (flock(2)); the kernel drops it when its holder dies. */
export interface FolderLock extends AsyncDisposable {
  /** The locked folder itself, whatever its name is by now. */
  readonly path: string;
}

/**
 * Locks the folder that has this name, or answers undefined when it isn't there or another holder is in the way.
 * Never waits.
 */
export async function lockFolder(
  path: string,
  mode: "shared" | "exclusive",
): Promise<FolderLock | undefined> {
  const folder = await open(path, "r").catch(() => undefined);
  if (folder === undefined) return undefined;
  const locked = flock(folder.fd, operations[mode] | operations.nonBlocking) === 0;
  // The name may have gone to another folder between opening and locking.
  const [mine, named] = await Promise.all([folder.stat(), stat(path).catch(() => undefined)]);
  if (locked && named !== undefined && mine.ino === named.ino && mine.dev === named.dev) {
    // Through /proc the folder is reached by its open file, which also other processes of ours can follow.
    const pid = await readlink("/proc/self");
    return { path: `/proc/${pid}/fd/${folder.fd}`, [Symbol.asyncDispose]: () => folder.close() };
  }
  await folder.close();
  return undefined;
}

/** Exchanges two names on one filesystem at once: at no moment is either missing. */
export function exchange(one: string, other: string): void {
  if (renameat2(currentFolder, one, currentFolder, other, renameExchange) === 0) return;
  throw Object.assign(new Error(`renameat2 ${one} ${other}: errno ${koffi.errno()}`), {
    errno: koffi.errno(),
  });
}
