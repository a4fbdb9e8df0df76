import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from "node:fs";
import { readExtendedAttributes } from "../images/extended-attributes.ts";

/** All that a filesystem says of one file. Names, targets and attribute values are shown by {@link showBytes}. */
export interface TreeEntry {
  readonly type: "file" | "folder" | "symlink" | "fifo" | "socket" | "character device" | "block device";
  /** Octal, with setuid, setgid and sticky: `4755`. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  /** Nanoseconds since the epoch. */
  readonly mtime: bigint;
  /** Bytes, of files. */
  readonly size?: bigint;
  /** SHA-256 of a file's content, hex. */
  readonly content?: string;
  readonly target?: string;
  /** `major:minor` */
  readonly device?: string;
  readonly xattrs: Readonly<Record<string, string>>;
  /** All names of a file with several, in order, as far as they are in the tree. */
  readonly hardlinks?: readonly string[];
}

/** By path relative to the root, sorted; the root itself is `.`. */
export type Tree = ReadonlyMap<string, TreeEntry>;

/** Reads a tree of files without following links. It works synchronously: a test waits for it anyway. */
export function readTree(root: string): Tree {
  const entries = new Map<string, TreeEntry>();
  const names = new Map<string, string[]>();
  const inodes = new Map<string, string>();
  const pending: (readonly [Buffer, Buffer])[] = [[Buffer.from("."), Buffer.from(root)]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [path, place] = next;
    const stats = lstatSync(place, { bigint: true });
    const name = showBytes(path);
    entries.set(name, readEntry(place, stats));
    if (stats.isDirectory()) {
      for (const child of readdirSync(place, { encoding: "buffer" })) {
        const relative = path.equals(Buffer.from(".")) ? child : joinBytes(path, child);
        pending.push([relative, joinBytes(place, child)]);
      }
    } else if (stats.nlink > 1n) {
      const inode = `${stats.dev}:${stats.ino}`;
      inodes.set(name, inode);
      names.set(inode, [...(names.get(inode) ?? []), name]);
    }
  }
  const sorted = [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return new Map(
    sorted.map(([name, entry]) => {
      const hardlinks = names.get(inodes.get(name) ?? "")?.toSorted();
      return [name, hardlinks === undefined ? entry : { ...entry, hardlinks }];
    }),
  );
}

export interface Comparison {
  /** Properties that may differ. */
  readonly except?: readonly (keyof TreeEntry)[];
  /** Paths that may differ in anything, or be there only once. */
  readonly exceptPaths?: readonly string[];
}

/** The differences of two trees, one a line; none if they are equal. */
export function differences(actual: Tree, expected: Tree, comparison: Comparison = {}): string[] {
  const { except = [], exceptPaths = [] } = comparison;
  const paths = [...new Set([...actual.keys(), ...expected.keys()])].toSorted();
  return paths
    .filter((path) => !exceptPaths.includes(path))
    .flatMap((path) => {
      const [found, wanted] = [actual.get(path), expected.get(path)];
      if (wanted === undefined) return [`${path}: should not be there (${found?.type})`];
      if (found === undefined) return [`${path}: is not there (expected a ${wanted.type})`];
      const properties = new Set([...Object.keys(found), ...Object.keys(wanted)]) as Set<keyof TreeEntry>;
      return [...properties]
        .filter((property) => !except.includes(property) && show(found[property]) !== show(wanted[property]))
        .map(
          (property) =>
            `${path}: ${property} is ${show(found[property])}, expected ${show(wanted[property])}`,
        );
    });
}

/** Asserts that two trees are equal; the message lists their differences. */
export function assertSameTree(actual: Tree, expected: Tree, comparison?: Comparison): void {
  const found = differences(actual, expected, comparison);
  const shown = found.slice(0, 40).join("\n");
  assert.equal(found.length, 0, `${found.length} differences between the trees:\n${shown}`);
}

/** Bytes as text: printable UTF-8 stays; of anything else each byte that isn't printable ASCII becomes `\xNN`. */
export function showBytes(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  const plain = Buffer.from(text).equals(bytes) && !/[\p{Cc}\\]/u.test(text);
  if (plain) return text;
  return bytes
    .toString("latin1")
    .replace(/[^\x20-\x5b\x5d-\x7e]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function readEntry(place: Buffer, stats: BigIntStats): TreeEntry {
  const attributes = [...readExtendedAttributes(place)].map(([name, value]) => [name, value.toString("hex")]);
  const common = {
    type: typeOf(stats),
    mode: (stats.mode & 0o7777n).toString(8),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtime: stats.mtimeNs,
    xattrs: Object.fromEntries(attributes),
  };
  const { type } = common;
  if (type === "file") return { ...common, size: stats.size, content: digestOfFile(place) };
  if (type === "symlink")
    return { ...common, target: showBytes(readlinkSync(place, { encoding: "buffer" })) };
  return type.endsWith("device") ? { ...common, device: deviceOf(stats.rdev) } : common;
}

function typeOf(stats: BigIntStats): TreeEntry["type"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "folder";
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isFIFO()) return "fifo";
  if (stats.isSocket()) return "socket";
  return stats.isCharacterDevice() ? "character device" : "block device";
}

/** makedev(3) in reverse: the low eight bits of the minor number stand below the major's. */
function deviceOf(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

function digestOfFile(place: Buffer): string {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(256 * 1024);
  const fd = openSync(place, "r");
  try {
    for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk)) {
      hash.update(chunk.subarray(0, length));
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest("hex");
}

function joinBytes(folder: Buffer, name: Buffer): Buffer {
  return Buffer.concat([folder, Buffer.from("/"), name]);
}

function show(value: unknown): string {
  if (value === undefined) return "none";
  return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner)).slice(
    0,
    300,
  );
}
