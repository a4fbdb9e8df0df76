import type { TarEntry, TarKind } from "./entry.ts";
import type { RawHeader } from "./header.ts";
import { decimal, FieldError, paxTime } from "./numbers.ts";
import type { PaxRecords } from "./pax.ts";

/** What the extended headers before a member's own header say about it. */
export interface Extensions {
  readonly pax: PaxRecords;
  /** GNU's long names; empty if there are none. */
  readonly longPath: string;
  readonly longLink: string;
}

/** A member with its extended headers applied. Whether it is sparse is decided later. */
export interface Member extends Omit<TarEntry, "runs" | "offset"> {
  /** Bytes of content stored in the archive. */
  readonly size: number;
}

const xattrPrefix = "SCHILY.xattr.";

/** Whether a type never has content, even if the header has a size. */
export function isHeaderOnly(flag: string): boolean {
  return flag >= "1" && flag <= "6";
}

export function hasContent(kind: TarKind): boolean {
  return kind === "file" || kind === "unknown";
}

/**
 * Applies the extended headers to a member's header; they take precedence. An empty PAX value leaves the header's
 * value.
 * @throws FieldError
 */
export function joinMember(header: RawHeader, extensions: Extensions): Member {
  const { pax } = extensions;
  const path = nameOf(header.path, pax.get("path"), extensions.longPath);
  const link = nameOf(header.link, pax.get("linkpath"), extensions.longLink);
  const kind = kindOfFlag(header.flag, path);
  const size = paxNumber(header.size, pax, "size");
  if (hasContent(kind) && size < 0) throw new FieldError("negative size");
  return {
    kind,
    flag: header.flag,
    path,
    link,
    mode: header.mode,
    uid: paxNumber(header.uid, pax, "uid"),
    gid: paxNumber(header.gid, pax, "gid"),
    mtime: timeOf(pax, "mtime") ?? { seconds: header.mtime, nanoseconds: 0 },
    atime: accessTimeOf(pax) ?? header.atime,
    size: hasContent(kind) ? size : 0,
    devMajor: header.devMajor,
    devMinor: header.devMinor,
    xattrs: xattrsOf(pax),
  };
}

function nameOf(plain: string, pax: string | undefined, gnu: string): string {
  if (pax === undefined || pax === "") return gnu === "" ? plain : gnu;
  // Readers differ in which of the two they use, so one reader might check one name and another write to the other.
  if (gnu !== "" && gnu !== pax) throw new FieldError("a PAX name and a GNU long name contradict each other");
  return pax;
}

function kindOfFlag(flag: string, path: string): TarKind {
  switch (flag) {
    case "\0":
      return path.endsWith("/") ? "folder" : "file"; // v7 has no type for folders
    case "0":
    case "7": // contiguous file
    case "S": // GNU sparse file
      return "file";
    case "1":
      return "hardlink";
    case "2":
      return "symlink";
    case "3":
      return "char";
    case "4":
      return "block";
    case "5":
      return "folder";
    case "6":
      return "fifo";
    default:
      return "unknown";
  }
}

function paxNumber(plain: number, pax: PaxRecords, key: string): number {
  const text = pax.get(key);
  return text === undefined || text === "" ? plain : decimal(text, `PAX ${key}`);
}

function timeOf(pax: PaxRecords, key: string) {
  const text = pax.get(key);
  return text === undefined || text === "" ? undefined : paxTime(text, `PAX ${key}`);
}

function accessTimeOf(pax: PaxRecords) {
  timeOf(pax, "ctime"); // it can't be set, but an invalid one is an error
  return timeOf(pax, "atime");
}

function xattrsOf(pax: PaxRecords): Map<string, Buffer> | undefined {
  let xattrs: Map<string, Buffer> | undefined;
  for (const [key, value] of pax) {
    if (!key.startsWith(xattrPrefix)) continue;
    xattrs ??= new Map();
    xattrs.set(key.slice(xattrPrefix.length), Buffer.from(value, "latin1"));
  }
  return xattrs;
}

/** Applies the name and size that GNU's PAX sparse formats keep in records of their own. */
export function withSparseRecords(member: Member, pax: PaxRecords): Member {
  const size = pax.get("GNU.sparse.size") || pax.get("GNU.sparse.realsize") || "";
  return {
    ...member,
    path: pax.get("GNU.sparse.name") || member.path,
    size: size === "" ? member.size : decimal(size, "size of the sparse file"),
  };
}
