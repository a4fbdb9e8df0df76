import { constants } from "node:fs";
import koffi from "koffi";
import { libc } from "../host/libc.ts";
import type { TarTime } from "../image/tar/entry.ts";

/*
 * Linux calls that Node doesn't have: relative to an open folder, without following links, with names as bytes
 * (one character a byte, "latin1"). koffi calls libc in this thread; that costs about as much as Node's own
 * synchronous calls. Each throws an error with `code` (errno(3)) and `syscall` unless its comment says otherwise.
 */
const calls = {
  // syscall(2) takes its arguments as longs; openat2 has no wrapper in libc.
  openat2: libc.func("long syscall(long number, int dirfd, const void *path, const void *how, size_t size)"),
  openat: libc.func("int openat(int dirfd, const void *path, int flags, unsigned int mode)"),
  write: libc.func("long write(int fd, const void *bytes, size_t size)"),
  mkdirat: libc.func("int mkdirat(int dirfd, const void *path, unsigned int mode)"),
  unlinkat: libc.func("int unlinkat(int dirfd, const void *path, int flags)"),
  linkat: libc.func("int linkat(int fromfd, const void *from, int tofd, const void *to, int flags)"),
  readlinkat: libc.func("long readlinkat(int dirfd, const void *path, void *target, size_t size)"),
  lseek: libc.func("int64_t lseek(int fd, int64_t offset, int whence)"),
  getdents64: libc.func("long getdents64(int fd, void *entries, size_t size)"),
  symlinkat: libc.func("int symlinkat(const void *target, int dirfd, const void *path)"),
  mknodat: libc.func("int mknodat(int dirfd, const void *path, unsigned int mode, uint64_t dev)"),
  chown: libc.func("int chown(const void *path, unsigned int uid, unsigned int gid)"),
  fchown: libc.func("int fchown(int fd, unsigned int uid, unsigned int gid)"),
  fchownat: libc.func(
    "int fchownat(int dirfd, const void *path, unsigned int uid, unsigned int gid, int flags)",
  ),
  fchmod: libc.func("int fchmod(int fd, unsigned int mode)"),
  chmod: libc.func("int chmod(const void *path, unsigned int mode)"),
  futimens: libc.func("int futimens(int fd, const void *times)"),
  utimensat: libc.func("int utimensat(int dirfd, const void *path, const void *times, int flags)"),
  fsetxattr: libc.func("int fsetxattr(int fd, const void *name, const void *value, size_t size, int flags)"),
  lsetxattr: libc.func(
    "int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)",
  ),
  lremovexattr: libc.func("int lremovexattr(const void *path, const void *name)"),
  close: libc.func("int close(int fd)"),
  pipe2: libc.func("int pipe2(_Out_ int *fds, int flags)"),
  fcntl: libc.func("int fcntl(int fd, int command, int value)"),
  getrandom: libc.func("long getrandom(void *bytes, size_t size, unsigned int flags)"),
  geteuid: libc.func("unsigned int geteuid()"),
  getegid: libc.func("unsigned int getegid()"),
} as const;

// <fcntl.h>, <linux/openat2.h>, inode(7). Node has the constants that differ between machines.
const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW } = constants;
/** Otherwise a decompressor that is started meanwhile would inherit the file. */
const closeOnExec = 0o2000000;
const pathOnly = 0o10000000;
const readFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | closeOnExec;
const createNew = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | closeOnExec;
const ofLink = 0x100; // AT_SYMLINK_NOFOLLOW
const removeDirectory = 0x200; // AT_REMOVEDIR
const openat2Number = 437; // the same on every architecture
const resolveStrictly = 0x02 | 0x04 | 0x08; // RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH
const setPipeSize = 1031; // F_SETPIPE_SZ
const duplicateAndCloseOnExec = 1030; // F_DUPFD_CLOEXEC
const typeBits = { fifo: 0o010000, char: 0o020000, block: 0o060000 } as const;

/** The greatest length of a path in bytes, including its NUL (PATH_MAX). */
export const pathLimit = 4096;
/** The greatest length of a name in bytes (NAME_MAX). */
export const nameLimit = 255;

// No call keeps a pointer to its arguments, so two buffers for names are enough for each thread.
const first = Buffer.alloc(pathLimit);
const second = Buffer.alloc(pathLimit);
const times = new BigInt64Array(4);
/** For reading the entries of folders. */
const listed = Buffer.alloc(32 * 1024);
const how = new BigUint64Array([BigInt(readFolder), 0n, BigInt(resolveStrictly)]); // struct open_how

function ended(text: string, buffer: Buffer): Buffer {
  if (text.length >= pathLimit) throw failure("open", text, "ENAMETOOLONG");
  const length = buffer.write(text, 0, "latin1");
  buffer[length] = 0;
  return buffer;
}

/** Whether openat2(2) works here: Linux 5.6 or newer, and a container runtime that allows it. */
let hasOpenat2: boolean | undefined;

/**
 * Opens a folder below an open one. The kernel follows no link on the way and never leaves `dirfd` (openat2(2)).
 * Without openat2 each part is opened on its own, which is as safe but slower.
 */
export function openFolder(dirfd: number, path: string): number {
  if (hasOpenat2 !== false) {
    const fd = Number(calls.openat2(openat2Number, dirfd, ended(path, first), how, how.byteLength));
    if (fd >= 0) {
      hasOpenat2 = true;
      return fd;
    }
    const code = codeOf(koffi.errno());
    if (hasOpenat2 || (code !== "ENOSYS" && code !== "EPERM")) throw failure("openat2", path, code);
    hasOpenat2 = false;
  }
  return openStepwise(dirfd, path);
}

/** As {@link openFolder}, for kernels without openat2: no part of the path may be a link. */
function openStepwise(dirfd: number, path: string): number {
  let fd = dirfd;
  for (const part of path.split("/")) {
    if (part === "..") throw failure("openat", path, "EXDEV");
    const next = calls.openat(fd, ended(part, first), readFolder, 0);
    const code = next < 0 ? codeOf(koffi.errno()) : "";
    if (fd !== dirfd) close(fd);
    if (next < 0) throw failure("openat", path, code);
    fd = next;
  }
  return fd;
}

/** Opens a folder outside the root filesystem, by a path of this machine. */
export function openHostFolder(path: string): number {
  const bytes = Buffer.from(`${path}\0`);
  return done("open", path, calls.openat(-100, bytes, O_RDONLY | O_DIRECTORY | closeOnExec, 0)); // AT_FDCWD
}

/** Makes a file that must not exist yet, and opens it for writing. The process's umask clears bits of `mode`. */
export function createFile(dirfd: number, name: string, mode: number): number {
  return done("openat", name, calls.openat(dirfd, ended(name, first), createNew, mode));
}

export function writeAll(fd: number, bytes: Uint8Array): void {
  let rest = bytes;
  while (rest.length > 0) {
    const written = done("write", "", Number(calls.write(fd, rest, rest.length)));
    if (written === rest.length) return;
    rest = rest.subarray(written);
  }
}

export function makeFolder(dirfd: number, name: string): void {
  done("mkdirat", name, calls.mkdirat(dirfd, ended(name, first), 0o700));
}

export function unlink(dirfd: number, name: string): void {
  done("unlinkat", name, calls.unlinkat(dirfd, ended(name, first), 0));
}

export function removeEmptyFolder(dirfd: number, name: string): void {
  done("unlinkat", name, calls.unlinkat(dirfd, ended(name, first), removeDirectory));
}

/** Gives a file, or a symlink itself, another name. */
export function link(fromFd: number, from: string, toFd: number, to: string): void {
  done("linkat", to, calls.linkat(fromFd, ended(from, first), toFd, ended(to, second), 0));
}

export function symlink(target: string, dirfd: number, name: string): void {
  done("symlinkat", name, calls.symlinkat(ended(target, first), dirfd, ended(name, second)));
}

/** What a name stands for: undefined for nothing, and with the target if it is a symlink. */
export function lookAt(dirfd: number, name: string): { readonly target: string | undefined } | undefined {
  const length = Number(calls.readlinkat(dirfd, ended(name, first), second, second.length));
  if (length >= 0) return { target: second.toString("latin1", 0, length) };
  const errno = koffi.errno();
  if (errno === koffi.os.errno["EINVAL"]) return { target: undefined };
  if (errno === koffi.os.errno["ENOENT"]) return undefined;
  throw failure("readlinkat", name, codeOf(errno));
}

/** Calls `tell` with each name in an open folder. `tell` may remove that name, but may not list another folder. */
export function eachName(folder: number, tell: (name: string) => void): void {
  done("lseek", "", Number(calls.lseek(folder, 0, 0)));
  for (;;) {
    const length = done("getdents64", "", Number(calls.getdents64(folder, listed, listed.length)));
    if (length === 0) return;
    // struct linux_dirent64 (getdents(2)): the record's length is at 16, the name and its NUL from 19 on.
    for (let at = 0; at < length; at += listed.readUInt16LE(at + 16)) {
      const name = listed.toString("latin1", at + 19, listed.indexOf(0, at + 19));
      if (name !== "." && name !== "..") tell(name);
    }
  }
}

export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** Makes a FIFO or a device. Returns false where that isn't permitted (a user namespace). */
export function makeNode(
  dirfd: number,
  name: string,
  type: keyof typeof typeBits,
  device: DeviceNumber,
): boolean {
  const { major, minor } = device;
  const number = (BigInt(minor >>> 8) << 20n) | BigInt((major << 8) | (minor & 0xff)); // makedev(3)
  if (calls.mknodat(dirfd, ended(name, first), typeBits[type] | 0o600, number) === 0) return true;
  const code = codeOf(koffi.errno());
  if (code === "EPERM") return false;
  throw failure("mknodat", name, code);
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Two random whole numbers from 0 to 2^32 - 1. */
export function randomWords(): readonly [number, number] {
  const words = new Uint32Array(2);
  // So few bytes come all at once (getrandom(2)).
  done("getrandom", "", Number(calls.getrandom(words, words.byteLength, 0)));
  const [one = 0, other = 0] = words;
  return [one, other];
}

/** The owner of what this process makes. */
export function processOwner(): Owner {
  return { uid: calls.geteuid(), gid: calls.getegid() };
}

export function changeOwner(fd: number, { uid, gid }: Owner): void {
  done("fchown", "", calls.fchown(fd, uid, gid));
}

export function changeMode(fd: number, mode: number): void {
  done("fchmod", "", calls.fchmod(fd, mode));
}

/** Sets modification and access time to the nanosecond. */
export function setTimes(fd: number, mtime: TarTime, atime: TarTime = mtime): void {
  done("futimens", "", calls.futimens(fd, timespecsOf(mtime, atime)));
}

export function changeNamedOwner(dirfd: number, name: string, { uid, gid }: Owner): void {
  done("fchownat", name, calls.fchownat(dirfd, ended(name, first), uid, gid, ofLink));
}

/**
 * Sets the mode of anything but a link. No chmod(2) refuses to follow links, so the file is opened first (O_PATH).
 */
export function changeNamedMode(dirfd: number, name: string, mode: number): void {
  const fd = done(
    "openat",
    name,
    calls.openat(dirfd, ended(name, first), pathOnly | O_NOFOLLOW | closeOnExec, 0),
  );
  try {
    done("chmod", name, calls.chmod(ended(`/proc/self/fd/${fd}`, first), mode));
  } finally {
    close(fd);
  }
}

export function setNamedTimes(dirfd: number, name: string, mtime: TarTime, atime: TarTime = mtime): void {
  done("utimensat", name, calls.utimensat(dirfd, ended(name, first), timespecsOf(mtime, atime), ofLink));
}

/** Sets an extended attribute. Returns the error's code if it can't be set, else undefined. */
export function setAttribute(fd: number, name: string, value: Uint8Array): string | undefined {
  const bytes = value.length === 0 ? times : value;
  if (calls.fsetxattr(fd, ended(name, second), bytes, value.length, 0) === 0) return undefined;
  return codeOf(koffi.errno());
}

/** As {@link setAttribute}, for what isn't opened: a link itself, a FIFO, a device. */
export function setNamedAttribute(at: { dirfd: number; name: string }, name: string, value: Uint8Array) {
  const path = ended(`/proc/self/fd/${at.dirfd}/${at.name}`, first);
  const bytes = value.length === 0 ? times : value;
  if (calls.lsetxattr(path, ended(name, second), bytes, value.length, 0) === 0) return undefined;
  return codeOf(koffi.errno());
}

/**
 * Removes what a folder has inherited from its parent, and would pass on to everything in it: the group (inode(7),
 * "set-group-ID") and access rules (acl(5)).
 */
export function removeInheritance(path: string): void {
  const bytes = Buffer.from(`${path}\0`);
  done("chown", path, calls.chown(bytes, calls.geteuid(), calls.getegid()));
  for (const name of ["system.posix_acl_default", "system.posix_acl_access"]) {
    calls.lremovexattr(bytes, ended(name, second)); // Usually there are none.
  }
}

export function close(fd: number): void {
  calls.close(fd);
}

/** A second descriptor of an open file, to be closed on its own. Both share the position in the file. */
export function duplicate(fd: number): number {
  return done("fcntl", "", calls.fcntl(fd, duplicateAndCloseOnExec, 0));
}

/**
 * A pipe with a buffer of up to 1 MiB, as far as the kernel grants it. With 64 KiB the two ends often wait for each
 * other.
 */
export function openPipe(): { readEnd: number; writeEnd: number } {
  const ends = new Int32Array(2);
  done("pipe2", "", calls.pipe2(ends, closeOnExec));
  const [readEnd = -1, writeEnd = -1] = ends;
  calls.fcntl(writeEnd, setPipeSize, 1024 * 1024);
  return { readEnd, writeEnd };
}

function timespecsOf(mtime: TarTime, atime: TarTime): BigInt64Array {
  times[0] = BigInt(atime.seconds); // struct timespec[2]
  times[1] = BigInt(atime.nanoseconds);
  times[2] = BigInt(mtime.seconds);
  times[3] = BigInt(mtime.nanoseconds);
  return times;
}

function done(call: string, subject: string, result: number): number {
  if (result >= 0) return result;
  throw failure(call, subject, codeOf(koffi.errno()));
}

function codeOf(errno: number): string {
  return Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}

function failure(call: string, subject: string, code: string): Error {
  const shown = subject === "" ? "" : ` ${JSON.stringify(subject.slice(0, 300))}`;
  return Object.assign(new Error(`${call}${shown}: ${code}`), { code, syscall: call });
}
