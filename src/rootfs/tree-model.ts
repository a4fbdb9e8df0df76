import { UserError } from "../host/errors.ts";
import { AttributeTable, type FolderNumbers } from "./attribute-table.ts";
import { FolderTable } from "./folder-table.ts";
import { NameFilter } from "./name-filter.ts";

/**
 * A folder of the tree that is being unpacked. There may be a million of them, so all they have is in a table, and
 * this is only a way to a row of it. Two of the same id are the same folder.
 */
export class Folder {
  /** Unique; never used again for another folder. */
  readonly id: number;
  readonly #notes: FolderNotes;

  constructor(id: number, notes: FolderNotes) {
    this.id = id;
    this.#notes = notes;
  }

  /** Undefined for the root. */
  get parent(): Folder | undefined {
    const { id } = this;
    return id === 0 ? undefined : new Folder(this.#notes.folders.get(id, "parent"), this.#notes);
  }

  get name(): string {
    return this.#notes.folders.name(this.id);
  }

  /** 0 for the root. */
  get depth(): number {
    return this.#notes.folders.get(this.id, "depth");
  }

  /** The layer that made it, counted from 0, the lowest. */
  get layer(): number {
    return this.#notes.folders.get(this.id, "layer");
  }

  set layer(layer: number) {
    this.#notes.folders.set(this.id, "layer", layer);
  }

  /** The newest layer that has written anything in it or below it. */
  get newest(): number {
    return this.#notes.folders.get(this.id, "newest");
  }

  set newest(layer: number) {
    this.#notes.folders.set(this.id, "newest", layer);
  }

  /** The layer that found it empty of lower layers' content: because it made the folder, or hid what was in it. */
  get cleared(): number {
    return this.#notes.folders.get(this.id, "cleared");
  }

  set cleared(layer: number) {
    this.#notes.folders.set(this.id, "cleared", layer);
  }

  /** As the image has them. They are set at the end, because every change in a folder changes its time. */
  get attributes(): FolderAttributes {
    const { id } = this;
    const { folders, attributes, xattrs } = this.#notes;
    return { ...attributes.get(folders.get(id, "attributes")), xattrs: xattrs.get(id) };
  }

  set attributes({ mode, xattrs, ...numbers }: FolderAttributes) {
    const { id } = this;
    const { folders, attributes, xattrs: noted } = this.#notes;
    const old = folders.get(id, "attributes");
    folders.set(id, "attributes", attributes.add({ ...numbers, mode: mode & 0o7777 }));
    attributes.remove(old);
    if (xattrs === undefined) noted.delete(id);
    else noted.set(id, xattrs);
  }
}

/** The data of all folders of a tree, by folder id. */
interface FolderNotes {
  readonly folders: FolderTable;
  readonly attributes: AttributeTable;
  readonly xattrs: Map<number, ReadonlyMap<string, Buffer>>;
}

export interface FolderAttributes extends FolderNumbers {
  readonly xattrs: ReadonlyMap<string, Buffer> | undefined;
}

/**
 * The attributes of a folder without an entry in any layer. They are constant, so an image always unpacks to the
 * same tree.
 */
export const impliedAttributes: FolderAttributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  seconds: 0,
  nanoseconds: 0,
  xattrs: undefined,
};

/** What a name stands for. Anything but a folder is a number that holds its layer and kind, to save memory. */
export type Child = Folder | number;

const kinds = { file: 0, symlink: 1, absent: 2 } as const;

/**
 * The number for anything but a folder.
 * @param kind `symlink`; `absent` for what the image has but this container may not make; `file` for a file, FIFO
 * or device
 */
export function leaf(layer: number, kind: keyof typeof kinds): number {
  return layer * 4 + kinds[kind];
}

export function isSymlink(child: Child): boolean {
  return typeof child === "number" && child % 4 === kinds.symlink;
}

export function isAbsent(child: Child): boolean {
  return typeof child === "number" && child % 4 === kinds.absent;
}

export function layerOf(child: Child): number {
  return typeof child === "number" ? child >> 2 : child.layer;
}

/** The same limit as Linux has (path_resolution(7)). */
const linksLimit = 40;

/** How many paths through symlinks are remembered: 40 links of 4096 bytes make 80,000 steps, for each file behind them. */
const throughLinksLimit = 1000;

/** Asks the disk about a name that is not a folder: undefined if it doesn't exist, and the target of a symlink. */
export type Look = (folder: Folder, name: string) => { readonly target: string | undefined } | undefined;

/**
 * The tree as it is on the disk. The destination starts empty and has no other writer, so this model is the
 * authority on folders: links are followed here, inside the root, and the kernel only gets paths without links.
 * There may be millions of files, so only fingerprints of their names are kept; the disk knows the rest.
 */
export class TreeModel {
  readonly #notes: FolderNotes = {
    folders: new FolderTable(),
    attributes: new AttributeTable(),
    xattrs: new Map(),
  };
  readonly root = new Folder(0, this.#notes);
  readonly #files = new NameFilter();
  /** The few entries besides folders that must be known without asking the disk, by folder id and name; see {@link find}. */
  readonly #apart = new Map<number, Map<string, number>>();
  readonly #look: Look;
  readonly #settle: () => void;
  #layer = 0;
  /** Where paths through symlinks led. Only removing something can change that, or what {@link #last} holds. */
  readonly #throughLinks = new Map<string, Folder>();
  /** Where the path led that was asked for last: most entries are in the same folder as the one before. */
  #last: { readonly parts: readonly string[]; readonly folder: Folder } | undefined;

  /** @param settle waits until all files that were added are on the disk; symlinks always are */
  constructor(look: Look, settle: () => void) {
    this.#look = look;
    this.#settle = settle;
    this.root.attributes = impliedAttributes;
  }

  /** What is added from now on belongs to this layer. */
  startLayer(layer: number): void {
    this.#layer = layer;
    this.#files.startLayer();
  }

  /**
   * Finds a folder, with symlinks followed as in a chroot.
   * @param make makes a folder where there is none, replacing whatever has the name
   * @throws UserError for a circle of symlinks
   */
  resolve(parts: readonly string[], make: (parent: Folder, name: string) => Folder): Folder;
  resolve(parts: readonly string[]): Folder | undefined;
  resolve(parts: readonly string[], make?: (parent: Folder, name: string) => Folder): Folder | undefined {
    if (this.#last !== undefined && areSame(this.#last.parts, parts)) return this.#last.folder;
    let folder = this.root;
    let links = 0;
    let names = parts;
    let key: string | undefined;
    for (let at = 0; at < names.length; at++) {
      const name = names[at] as string;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        folder = folder.parent ?? folder;
        continue;
      }
      const child = this.known(folder, name);
      if (child instanceof Folder) {
        folder = child;
        continue;
      }
      const isLink = child !== undefined && isSymlink(child);
      if (isLink && key === undefined) {
        key = parts.join("/");
        const found = this.#throughLinks.get(key);
        if (found !== undefined) return found;
      }
      const target = isLink ? this.#look(folder, name)?.target : undefined;
      if (target !== undefined) {
        if (++links > linksLimit) throw circle(parts);
        if (target.startsWith("/")) folder = this.root;
        names = [...target.split("/"), ...names.slice(at + 1)];
        at = -1;
      } else {
        const made = make?.(folder, name);
        if (made === undefined) return undefined;
        folder = made;
      }
    }
    if (key !== undefined) {
      if (this.#throughLinks.size === throughLinksLimit) this.#throughLinks.clear();
      this.#throughLinks.set(key, folder);
    }
    this.#last = { parts, folder };
    return folder;
  }

  /** What a name in a folder stands for. */
  find(parent: Folder, name: string): Child | undefined {
    const child = this.known(parent, name);
    if (child === undefined || child instanceof Folder) return child;
    if (this.#apart.get(parent.id)?.has(name) === true) return child;
    // The fingerprint may belong to another name.
    if (!isSymlink(child)) this.#settle();
    return this.#look(parent, name) === undefined ? undefined : child;
  }

  /**
   * As {@link find}, without asking the disk: it may return a file that doesn't exist, if another name has its
   * fingerprint.
   */
  known(parent: Folder, name: string): Child | undefined {
    const child = this.folderIn(parent, name) ?? this.#apart.get(parent.id)?.get(name);
    if (child !== undefined) return child;
    const file = this.#files.find(parent.id, name);
    if (file === undefined) return undefined;
    return leaf(file.isFresh ? this.#layer : this.#layer - 1, file.isLink ? "symlink" : "file");
  }

  /** The folder with this name in another. */
  folderIn(parent: Folder, name: string): Folder | undefined {
    const id = this.#notes.folders.find(parent.id, name);
    return id === undefined ? undefined : new Folder(id, this.#notes);
  }

  /** The folder with this id. */
  folder(id: number): Folder {
    return new Folder(id, this.#notes);
  }

  /** What is in a folder and not known as a folder or by its fingerprint. It may be removed meanwhile. */
  apart(parent: Folder): Iterable<readonly [name: string, child: number]> {
    return this.#apart.get(parent.id) ?? [];
  }

  /** All folders, each before its parent. */
  *childrenFirst(): Generator<Folder> {
    const { folders } = this.#notes;
    for (let id = folders.length - 1; id >= 0; id--)
      if (folders.exists(id)) yield new Folder(id, this.#notes);
  }

  /** Adds what the current layer has written under a free name. */
  put(parent: Folder, name: string, child: number): void {
    noteLayer(parent, this.#layer);
    if (!isAbsent(child) && this.#files.add(parent.id, name, isSymlink(child))) return;
    const apart = this.#apart.get(parent.id) ?? new Map<string, number>();
    this.#apart.set(parent.id, apart.set(compact(name), child));
  }

  /** Adds a new folder under a free name. */
  putFolder(parent: Folder, name: string): Folder {
    noteLayer(parent, this.#layer);
    const made = new Folder(this.#notes.folders.add(parent.id, name), this.#notes);
    made.layer = this.#layer;
    made.newest = this.#layer;
    made.cleared = this.#layer;
    made.attributes = impliedAttributes;
    return made;
  }

  /** Removes a file's name. */
  remove(parent: Folder, name: string): void {
    this.#forgetPaths();
    if (this.#apart.get(parent.id)?.delete(name) !== true) this.#files.delete(parent.id, name);
  }

  #forgetPaths(): void {
    this.#throughLinks.clear();
    this.#last = undefined;
  }

  /** Removes a folder in which nothing is left. */
  removeFolder({ id }: Folder): void {
    const { folders, attributes, xattrs } = this.#notes;
    this.#forgetPaths();
    attributes.remove(folders.get(id, "attributes"));
    folders.remove(id);
    xattrs.delete(id);
    this.#apart.delete(id);
  }
}

/** Records that a layer has written something in the folder. */
export function noteLayer(folder: Folder, layer: number): void {
  // A folder that has the layer already has passed it on to its parents.
  for (let next: Folder | undefined = folder; next !== undefined && next.newest < layer; next = next.parent) {
    next.newest = layer;
  }
}

function areSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((part, at) => part === others[at]);
}

/** V8 keeps a long part of a string as a view of the whole string, which then stays in memory. */
function compact(name: string): string {
  return name.length < 13 ? name : Buffer.from(name, "latin1").toString("latin1");
}

function circle(parts: readonly string[]): UserError {
  const path = Buffer.from(parts.join("/").slice(0, 300), "latin1").toString("utf8");
  return new UserError(
    `layer entry ${JSON.stringify(path)} goes through symlinks that lead in a circle, or through over ${linksLimit} of them; the image can't be unpacked`,
  );
}
