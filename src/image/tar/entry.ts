/**
 * The kind of a member. `unknown` stands for types that no layer should hold (GNU's dumped folder or volume label,
 * a vendor's own). Its content is passed on like a file's, and the caller decides what to do with it.
 */
export type TarKind = "file" | "hardlink" | "symlink" | "char" | "block" | "folder" | "fifo" | "unknown";

/** A point in time: `seconds` since 1970, negative before, plus `nanoseconds` from 0 to 999,999,999. */
export interface TarTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** A stretch of a sparse file that holds data; between the runs it reads as zeros. */
export interface DataRun {
  readonly offset: number;
  readonly length: number;
}

/**
 * One member of an archive. Strings are bytes: one character (U+0000 to U+00FF, "latin1") stands for one byte, so a
 * name that isn't UTF-8 stays exact. `Buffer.from(path, "latin1")` returns the bytes.
 */
export interface TarEntry {
  readonly kind: TarKind;
  /** The type flag's byte as a character (`0` file, `5` folder …), for messages. */
  readonly flag: string;
  /** As in the archive: not cleaned, perhaps empty, absolute, with `..`, or with a trailing slash. No NUL. */
  readonly path: string;
  /** Target of a hardlink or symlink, as in the archive. */
  readonly link: string;
  /** As in the archive; only the low twelve bits are permissions. */
  readonly mode: number;
  /** Owner; may be negative or over 32 bits, as the archive says. */
  readonly uid: number;
  readonly gid: number;
  readonly mtime: TarTime;
  /** Only if the archive has it. */
  readonly atime: TarTime | undefined;
  /** Size in bytes of the resulting file (of a sparse file with its holes); 0 for members without content. */
  readonly size: number;
  /** Where a sparse file has data, in order, without overlap or empty runs; `undefined` for any other member. */
  readonly runs: readonly DataRun[] | undefined;
  readonly devMajor: number;
  readonly devMinor: number;
  /** Names and values of `SCHILY.xattr.` records. Empty values are kept. `undefined` when there are none. */
  readonly xattrs: ReadonlyMap<string, Buffer> | undefined;
  /** Where the member's first header block (extended headers included) starts in the archive. */
  readonly offset: number;
}
