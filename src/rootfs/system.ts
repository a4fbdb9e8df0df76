import koffi from "koffi";
import type { TarTime } from "./tar/entry.ts";

/** The calls that Node doesn't have. Paths and names are bytes, ended by a NUL here. */
const libc = koffi.load(null);
const utimensat = libc.func("int utimensat(int dirfd, const uint8_t *path, const uint8_t *times, int flags)");
const mknod = libc.func("int mknod(const uint8_t *path, unsigned int mode, uint64_t dev)");
const lsetxattr = libc.func(
  "int lsetxattr(const uint8_t *path, const uint8_t *name, const uint8_t *value, size_t size, int flags)",
);

const currentFolder = -100; // AT_FDCWD, fcntl(2)
const noFollow = 0x100; // AT_SYMLINK_NOFOLLOW
const typeBits = { fifo: 0o010000, char: 0o020000, block: 0o060000 } as const; // inode(7)

/** errno(3) of what is answered otherwise than by an error. */
export const errno = { permission: 1, notSupported: 95 } as const;

/** Sets the modification time of a file, or of a link itself, to the nanosecond; access time becomes the same. */
export function setTimes(path: Buffer, mtime: TarTime, atime: TarTime = mtime): void {
  const times = Buffer.alloc(32); // struct timespec[2], 64 bits each
  for (const [index, { seconds, nanoseconds }] of [atime, mtime].entries()) {
    times.writeBigInt64LE(BigInt(seconds), index * 16);
    times.writeBigInt64LE(BigInt(nanoseconds), index * 16 + 8);
  }
  if (utimensat(currentFolder, ended(path), times, noFollow) !== 0) throw failed("utimensat", path);
}

/** Makes a FIFO or a device. Answers 0, or errno when that isn't permitted here. */
export function makeNode(
  path: Buffer,
  type: keyof typeof typeBits,
  { major, minor }: { major: number; minor: number },
): number {
  const device =
    (BigInt(major & 0xfff) << 8n) |
    (BigInt(major >>> 12) << 32n) |
    BigInt(minor & 0xff) |
    (BigInt(minor >>> 8) << 12n); // makedev(3)
  if (mknod(ended(path), typeBits[type] | 0o600, device) === 0) return 0;
  if (koffi.errno() === errno.permission) return errno.permission;
  throw failed("mknod", path);
}

/** Sets an extended attribute of a file, or of a link itself. Answers 0, or errno where it can't be set. */
export function setAttribute(path: Buffer, name: string, value: Buffer): number {
  const bytes = ended(Buffer.from(name, "latin1"));
  if (lsetxattr(ended(path), bytes, value.length === 0 ? Buffer.alloc(1) : value, value.length, 0) === 0)
    return 0;
  const code = koffi.errno();
  if (code === errno.permission || code === errno.notSupported) return code;
  throw failed(`lsetxattr ${name}`, path);
}

function ended(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.of(0)]);
}

function failed(call: string, path: Buffer): Error {
  const number = koffi.errno();
  const code = Object.entries(koffi.os.errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
  return Object.assign(new Error(`${call} ${path.toString("utf8")}: ${code}`), { code });
}
