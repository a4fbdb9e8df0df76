import { UserError } from "../host/errors.ts";
import type { TarEntry } from "./tar/entry.ts";

/** What a layer's entry asks for. Names are bytes as latin1; paths are lists of names below the root. */
export type Decision =
  | { readonly kind: "root" }
  | { readonly kind: "ignore" }
  | { readonly kind: "opaque"; readonly folder: readonly string[] }
  | { readonly kind: "whiteout"; readonly folder: readonly string[]; readonly name: string }
  | { readonly kind: "hardlink"; readonly place: Place; readonly target: Place }
  | { readonly kind: "file" | "folder" | "symlink" | "char" | "block" | "fifo"; readonly place: Place };

/** A name, and the folder that it is in. */
export interface Place {
  readonly folder: readonly string[];
  readonly name: string;
}

const whiteoutPrefix = ".wh.";
/** aufs kept its own files under such names (`.wh..wh.plnk`); they are no content. */
const reservedPrefix = ".wh..wh.";
const opaqueName = ".wh..wh..opq";

/**
 * Decides what an entry of a layer means (OCI image-spec, layer.md). Pure.
 * @throws UserError for what no layer may hold
 */
export function decide(entry: TarEntry): Decision {
  const parts = partsOf(entry.path);
  const name = parts.pop();
  if (name === undefined) {
    if (entry.kind === "folder") return { kind: "root" };
    throw refused(entry, "names the root itself, which must be a folder");
  }
  if (parts.some((part) => part.startsWith(reservedPrefix))) return { kind: "ignore" };
  if (parts.some((part) => part.startsWith(whiteoutPrefix))) {
    throw refused(entry, "lies below a whiteout, which is no folder");
  }
  if (name === opaqueName) return { kind: "opaque", folder: parts };
  if (name.startsWith(reservedPrefix)) return { kind: "ignore" };
  if (name.startsWith(whiteoutPrefix)) {
    const hidden = name.slice(whiteoutPrefix.length);
    if (hidden === "" || hidden === "." || hidden === "..") throw refused(entry, "hides no name of a folder");
    return { kind: "whiteout", folder: parts, name: hidden };
  }
  const place = { folder: parts, name };
  if (entry.kind === "hardlink") return { kind: "hardlink", place, target: targetOf(entry) };
  if (entry.kind === "unknown") {
    throw refused(entry, `has type ${JSON.stringify(entry.flag)}, which no layer may have`);
  }
  return { kind: entry.kind, place };
}

function targetOf(entry: TarEntry): Place {
  const folder = partsOf(entry.link);
  const name = folder.pop();
  if (name === undefined) throw refused(entry, "is a hard link to the root");
  return { folder, name };
}

/** The names of a path, resolved as in a chroot: `..` never leads above the root. */
export function partsOf(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}

/** An error about an entry; its name is shown with what isn't printable escaped. */
export function refused({ path }: Pick<TarEntry, "path">, what: string): UserError {
  return new UserError(
    `layer entry ${JSON.stringify(path.slice(0, 300))} ${what}; the image can't be unpacked`,
  );
}
