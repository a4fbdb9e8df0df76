import { UserError } from "../host/errors.ts";

/** A folder of the tree that is being unpacked. */
export class Folder {
  readonly parent: Folder | undefined;
  readonly name: string;
  /** Of the root, 0. */
  readonly depth: number;
  /** The layer that put it there, counted from 0, the lowest. */
  layer: number;
  /** The newest layer that has put anything there or anywhere below. */
  newest: number;
  /** The layer that has hidden all that lower ones had put into it; -1 for none. */
  cleared = -1;
  /** Of most folders of an image that isn't made of folders, not undefined. */
  children: Map<string, Child> | undefined;
  /** As the image has it; set at the end, since each child that comes or goes changes a folder's time. */
  attributes: FolderAttributes = impliedAttributes;

  constructor(parent: Folder | undefined, name: string, layer: number) {
    this.parent = parent;
    this.name = compact(name);
    this.depth = parent === undefined ? 0 : parent.depth + 1;
    this.layer = layer;
    this.newest = layer;
  }
}

export interface FolderAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly xattrs: ReadonlyMap<string, Buffer> | undefined;
}

/** Of a folder that no layer has an entry for: the same each time, so that an image unpacks to the same tree. */
export const impliedAttributes: FolderAttributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  seconds: 0,
  nanoseconds: 0,
  xattrs: undefined,
};

export class Symlink {
  readonly target: string;
  readonly layer: number;

  constructor(target: string, layer: number) {
    this.target = target;
    this.layer = layer;
  }
}

/**
 * What there is under one name. Most names are files, so for those there is no object, only a number that tells
 * the layer: `leaf` and `absent` make it.
 */
export type Child = Folder | Symlink | number;

/** A file, FIFO or device of a layer. */
export function leaf(layer: number): number {
  return layer * 2;
}

/** What the image has but this container may not make. */
export function absent(layer: number): number {
  return layer * 2 + 1;
}

export function isAbsent(child: Child): boolean {
  return typeof child === "number" && child % 2 === 1;
}

export function layerOf(child: Child): number {
  return typeof child === "number" ? child >> 1 : child.layer;
}

/** As Linux (path_resolution(7)). */
const linksLimit = 40;

/**
 * The tree as it is on the disk. The destination starts empty and has no other writer, so this is the authority:
 * links are followed here, inside the root, and the kernel is only given paths that have none.
 */
export class TreeModel {
  readonly root = new Folder(undefined, "", 0);

  /**
   * Finds a folder, with symlinks followed as in a chroot.
   * @param make is asked to make a folder where there is none, in place of whatever has the name
   * @throws UserError for a circle of symlinks
   */
  resolve(parts: readonly string[], make: (parent: Folder, name: string) => Folder): Folder;
  resolve(parts: readonly string[]): Folder | undefined;
  resolve(parts: readonly string[], make?: (parent: Folder, name: string) => Folder): Folder | undefined {
    let folder = this.root;
    let links = 0;
    let names = parts;
    for (let at = 0; at < names.length; at++) {
      const name = names[at] as string;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        folder = folder.parent ?? folder;
        continue;
      }
      const child = folder.children?.get(name);
      if (child instanceof Folder) {
        folder = child;
      } else if (child instanceof Symlink) {
        if (++links > linksLimit) throw circle(parts);
        if (child.target.startsWith("/")) folder = this.root;
        names = [...child.target.split("/"), ...names.slice(at + 1)];
        at = -1;
      } else {
        const made = make?.(folder, name);
        if (made === undefined) return undefined;
        folder = made;
      }
    }
    return folder;
  }

  /** Notes what a layer has put under a name. */
  put(parent: Folder, name: string, child: Child, layer: number): void {
    parent.children ??= new Map();
    parent.children.set(child instanceof Folder ? child.name : compact(name), child);
    noteLayer(parent, layer);
  }
}

/** Notes that a layer has put something there. */
export function noteLayer(folder: Folder, layer: number): void {
  // Whoever is as new has told its parents.
  for (let next: Folder | undefined = folder; next !== undefined && next.newest < layer; next = next.parent) {
    next.newest = layer;
  }
}

/** V8 keeps a longer part of a string as a view of the whole, and so the whole: a million names were a gigabyte. */
function compact(name: string): string {
  return name.length < 13 ? name : Buffer.from(name, "latin1").toString("latin1");
}

function circle(parts: readonly string[]): UserError {
  const path = Buffer.from(parts.join("/").slice(0, 300), "latin1").toString("utf8");
  return new UserError(
    `layer entry ${JSON.stringify(path)} goes through symlinks that lead in a circle, or through over ${linksLimit} of them; the image can't be unpacked`,
  );
}
