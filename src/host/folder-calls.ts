import koffi from "koffi";
import { libc } from "./libc.ts";

/* Linux calls on folders that Node doesn't have. Each returns 0, or an error number (errno(3)). */

const lock = libc.func("int flock(int fd, int operation)");
const renameat2 = libc.func(
  "int renameat2(int olddirfd, const char *oldpath, int newdirfd, const char *newpath, unsigned int flags)",
);

/** flock(2), `<sys/file.h>`. */
const operations = { shared: 1, exclusive: 2, nonBlocking: 4 } as const;
/** renameat2(2), `<linux/fs.h>`; `AT_FDCWD` from `<fcntl.h>`. */
const renameExchange = 2;
const currentFolder = -100;

/** Locks an open folder without waiting. */
export function flock(fd: number, mode: "shared" | "exclusive"): number {
  return errnoOf(lock(fd, operations[mode] | operations.nonBlocking));
}

/** Exchanges two names on one filesystem atomically. */
export function exchange(one: string, other: string): number {
  return errnoOf(renameat2(currentFolder, one, currentFolder, other, renameExchange));
}

function errnoOf(result: number): number {
  return result === 0 ? 0 : koffi.errno();
}
