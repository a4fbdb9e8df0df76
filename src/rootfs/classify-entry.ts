import { UserError } from "../host/errors.ts";
import type { TarEntry } from "../image/tar/entry.ts";
import { showName } from "../image/tar/error.ts";
import { nameLimit } from "./syscalls.ts";

/** What an entry of a layer means. Names are bytes as latin1; paths are lists of names below the root. */
export type EntryMeaning =
  | { readonly kind: "root" }
  | { readonly kind: "ignore" }
  | { readonly kind: "opaque"; readonly folder: readonly string[] }
  | { readonly kind: "whiteout"; readonly folder: readonly string[]; readonly name: string }
  | { readonly kind: "hardlink"; readonly place: TreePlace; readonly target: TreePlace }
  | { readonly kind: "file" | "folder" | "symlink" | "char" | "block" | "fifo"; readonly place: TreePlace };

/** A name, and the folder it is in. */
export interface TreePlace {
  readonly folder: readonly string[];
  readonly name: string;
}

const whiteoutPrefix = ".wh.";
/** aufs kept its own files under such names (`.wh..wh.plnk`). They are not part of the image. */
const reservedPrefix = ".wh..wh.";
const targetLimit = 4095; // PATH_MAX without the NUL
const attributeNameLimit = 255; // XATTR_NAME_MAX
const attributeLimit = 65536; // XATTR_SIZE_MAX
const idLimit = 2 ** 32 - 2; // the largest value means "no change" to chown(2)
const majorLimit = 0xfff; // the kernel's dev_t: 12 and 20 bits
const minorLimit = 0xfffff;
const opaqueName = ".wh..wh..opq";

/**
 * Decides what an entry of a layer means (OCI image-spec, layer.md). Pure.
 * @throws UserError for entries that no layer may hold
 */
export function classifyEntry(entry: TarEntry): EntryMeaning {
  const parts = partsOf(entry.path);
  const name = parts.pop();
  if (name === undefined) {
    if (entry.kind !== "folder") throw refusedEntry(entry, "names the root itself, which must be a folder");
    checkLimits(entry, []);
    return { kind: "root" };
  }
  if (parts.some((part) => part.startsWith(reservedPrefix))) return { kind: "ignore" };
  if (parts.some((part) => part.startsWith(whiteoutPrefix))) {
    throw refusedEntry(entry, "is inside a whiteout, which is not a folder");
  }
  if (name === opaqueName) return { kind: "opaque", folder: parts };
  if (name.startsWith(reservedPrefix)) return { kind: "ignore" };
  checkLimits(entry, [name, ...parts]);
  if (name.startsWith(whiteoutPrefix)) {
    const hidden = name.slice(whiteoutPrefix.length);
    if (hidden === "" || hidden === "." || hidden === "..")
      throw refusedEntry(entry, "hides no name of a folder");
    return { kind: "whiteout", folder: parts, name: hidden };
  }
  const place = { folder: parts, name };
  if (entry.kind === "hardlink") return { kind: "hardlink", place, target: targetOf(entry) };
  if (entry.kind === "unknown") {
    throw refusedEntry(entry, `has type ${JSON.stringify(entry.flag)}, which no layer may have`);
  }
  return { kind: entry.kind, place };
}

/** Checks Linux's limits, so that nothing is written for an entry that can't be. */
function checkLimits(entry: TarEntry, names: readonly string[]): void {
  for (const part of names) {
    if (part.length > nameLimit)
      throw refusedEntry(entry, `has a name of ${part.length} bytes; Linux takes ${nameLimit}`);
  }
  for (const id of [entry.uid, entry.gid]) {
    if (!isInRange(id, idLimit))
      throw refusedEntry(entry, `has owner ${id}, which is not a user or group id on Linux`);
  }
  for (const [key, value] of entry.xattrs ?? []) {
    if (key.length > attributeNameLimit || value.length > attributeLimit)
      throw refusedEntry(
        entry,
        `has an extended attribute whose name and value have ${key.length} and ${value.length} bytes; Linux takes ${attributeNameLimit} and ${attributeLimit}`,
      );
  }
  if (entry.kind === "symlink") {
    if (entry.link === "") throw refusedEntry(entry, "is a symlink to nothing");
    if (entry.link.length > targetLimit)
      throw refusedEntry(entry, `is a symlink to ${entry.link.length} bytes; Linux takes ${targetLimit}`);
  }
  const isDevice = entry.kind === "char" || entry.kind === "block";
  if (isDevice && !(isInRange(entry.devMajor, majorLimit) && isInRange(entry.devMinor, minorLimit)))
    throw refusedEntry(entry, `is device ${entry.devMajor}:${entry.devMinor}, which Linux has no number for`);
}

function isInRange(value: number, limit: number): boolean {
  return value >= 0 && value <= limit;
}

function targetOf(entry: TarEntry): TreePlace {
  const folder = partsOf(entry.link);
  const name = folder.pop();
  if (name === undefined) throw refusedEntry(entry, "is a hard link to the root");
  return { folder, name };
}

/** The names of a path, resolved as in a chroot: `..` never leads above the root. */
function partsOf(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}

/** An error that names the entry. */
export function refusedEntry({ path }: Pick<TarEntry, "path">, what: string): UserError {
  return new UserError(`layer entry ${showName(path)} ${what}; the image can't be unpacked`);
}
