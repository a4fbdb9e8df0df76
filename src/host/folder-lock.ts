import { closeSync, fstatSync, openSync, readlinkSync, statSync } from "node:fs";
import { constants } from "node:os";
import { UserError } from "./errors.ts";
import { unlessMissing } from "./or-none.ts";

/** An advisory lock on a folder (flock(2)). The kernel releases it when its holder dies. */
export interface FolderLock extends AsyncDisposable {
  /** A path to the locked folder that stays valid when the folder is renamed. */
  readonly path: string;
}

/**
 * Locks the folder that has this name. Returns undefined if there is none, or if another holder has it locked.
 * Never waits for one.
 * @throws UserError if the disk doesn't support such locks: on NFS folders can't be locked (flock(2), NOTES)
 */
export async function lockFolder(
  path: string,
  mode: "shared" | "exclusive",
): Promise<FolderLock | undefined> {
  for (;;) {
    const folder = unlessMissing(() => openSync(path, "r"));
    if (folder === undefined) return undefined;
    try {
      const { flock } = await folderCalls();
      const errno = flock(folder, mode);
      const locked = errno === 0;
      if (!locked && errno !== constants.errno.EWOULDBLOCK) {
        throw new UserError(
          `${path}: its disk can't lock folders (flock: ${errnoName(errno)}), so puts and gets could change each other's files; use a local disk, or a registry`,
        );
      }
      const [mine, named] = [fstatSync(folder), unlessMissing(() => statSync(path))];
      const isNamed = named !== undefined && mine.ino === named.ino && mine.dev === named.dev;
      if (locked && isNamed) {
        // /proc leads to the open folder whatever its name is, also for child processes.
        const pid = readlinkSync("/proc/self");
        return { path: `/proc/${pid}/fd/${folder}`, [Symbol.asyncDispose]: async () => closeSync(folder) };
      }
      closeSync(folder);
      if (isNamed) return undefined;
      // Another folder may have got the name between opening and locking: then that is the one to lock.
    } catch (thrown) {
      closeSync(folder);
      throw thrown;
    }
  }
}

/**
 * Exchanges two names on one filesystem atomically: at no moment is either missing.
 * @returns false if the filesystem (9p, FUSE, NFS …) or the kernel doesn't support it
 */
export async function exchangeNames(one: string, other: string): Promise<boolean> {
  const { exchange } = await folderCalls();
  const errno = exchange(one, other);
  if (errno === 0) return true;
  const { EINVAL, ENOSYS, EOPNOTSUPP } = constants.errno;
  if ([EINVAL, ENOSYS, EOPNOTSUPP].includes(errno)) return false;
  const code = errnoName(errno);
  throw Object.assign(new Error(`${code}: renameat2 ${one} ${other}`), { code, path: other });
}

/** Loaded when they are needed: a put to a registry never does. */
function folderCalls(): Promise<typeof import("./folder-calls.ts")> {
  return import("./folder-calls.ts");
}

function errnoName(errno: number): string {
  const known = Object.entries(constants.errno).find(([, number]) => number === errno);
  return known?.[0] ?? `errno ${errno}`;
}
