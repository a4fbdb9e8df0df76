import { constants } from "node:os";
import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const llistxattr = libc.func("long llistxattr(const uint8_t *path, _Out_ uint8_t *list, size_t size)");
const lgetxattr = libc.func(
  "long lgetxattr(const uint8_t *path, const uint8_t *name, _Out_ uint8_t *value, size_t size)",
);
const largest = 64 * 1024;

/** The extended attributes of a file, of a link itself, by name: their bytes (xattr(7)). None where they aren't supported. */
export function readExtendedAttributes(path: Buffer): Map<string, Buffer> {
  const file = Buffer.concat([path, Buffer.of(0)]);
  const names = call((buffer) => llistxattr(file, buffer, largest));
  const found = names.toString("latin1").split("\0").filter(Boolean).toSorted();
  return new Map(
    found.map((name) => [
      name,
      call((buffer) => lgetxattr(file, Buffer.from(`${name}\0`, "latin1"), buffer, largest)),
    ]),
  );
}

function call(read: (buffer: Buffer) => number): Buffer {
  const buffer = Buffer.alloc(largest);
  const length = read(buffer);
  if (length >= 0) return buffer.subarray(0, length);
  const errno = koffi.errno();
  if (errno === constants.errno.ENOTSUP) return Buffer.alloc(0);
  throw new Error(`extended attributes cannot be read: errno ${errno}`);
}
