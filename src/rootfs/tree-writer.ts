import { ftruncateSync, writeSync } from "node:fs";
import { errorCode, UserError } from "../host/errors.ts";
import type { TarEntry } from "../image/tar/entry.ts";
import { showName } from "../image/tar/error.ts";
import type { TarHandler } from "../image/tar/reader.ts";
import { AttributeSetter, type Defaults, modeAtFirst } from "./attributes.ts";
import { classifyEntry, type EntryMeaning, refusedEntry, type TreePlace } from "./classify-entry.ts";
import { OpenFolders } from "./open-folders.ts";
import {
  close,
  createFile,
  link,
  lookAt,
  makeFolder,
  makeNode,
  nameLimit,
  symlink,
  writeAll,
} from "./syscalls.ts";
import { Folder, isAbsent, isSymlink, leaf, noteLayer, TreeModel } from "./tree-model.ts";
import { TreeRemover } from "./tree-remover.ts";

/** Makes small files in another thread. */
export interface SmallFiles {
  /** Whether it makes this file. If so, the file's content must be given to `add`. */
  takes(entry: TarEntry): boolean;
  /** Takes a piece of the current file's content. */
  add(bytes: Buffer): void;
  /** The current file's content is complete. */
  make(dirfd: number, name: string, entry: TarEntry): void;
  /** Waits until all files are made. */
  flush(): void;
}

export interface TreeWriterOptions {
  /** Descriptor of an empty folder that nobody else writes to. */
  readonly root: number;
  readonly defaults: Defaults;
  readonly warn: (text: string) => void;
  readonly smallFiles?: SmallFiles | undefined;
}

/**
 * Deeper folders would be of no use (a path has at most 4095 bytes), and a few bytes of a layer could make
 * thousands of them.
 */
const folderDepthLimit = 10_000;
/**
 * The most bytes of folders' extended attributes in an image. They are kept in memory until the end. Real images
 * have few.
 */
const notedLimit = 64 * 1024 * 1024;

const noDevice = { major: 0, minor: 0 };

/** A file that is being written. */
type OpenFile = { readonly entry: TarEntry; readonly name: string } & (
  | { readonly fd: number }
  | { readonly fd: undefined; readonly folder: Folder }
);

/**
 * Writes the entries of layers below a root, lower layers first, synchronously. `classifyEntry` decides what each
 * entry means.
 */
export class TreeWriter implements TarHandler {
  readonly #model: TreeModel;
  readonly #folders: OpenFolders;
  readonly #remover: TreeRemover;
  readonly #attributes: AttributeSetter;
  readonly #smallFiles: SmallFiles | undefined;
  #layer = -1;
  #open: OpenFile | undefined;
  /** Bytes of folders' extended attributes so far. */
  #noted = 0;
  /** Over all layers. */
  readonly written = { entries: 0, bytes: 0 };

  constructor({ root, defaults, warn, smallFiles }: TreeWriterOptions) {
    this.#smallFiles = smallFiles;
    const settle = () => smallFiles?.flush();
    this.#folders = new OpenFolders(root, settle);
    this.#model = new TreeModel((folder, name) => lookAt(this.#folders.fd(folder), name), settle);
    this.#remover = new TreeRemover(this.#model, this.#folders, settle);
    this.#attributes = new AttributeSetter(defaults, { warn });
  }

  /** The next layer begins. */
  startLayer(): void {
    this.#model.startLayer(++this.#layer);
  }

  entry(entry: TarEntry): void {
    this.written.entries++;
    this.#act(classifyEntry(entry), entry);
  }

  content(bytes: Buffer, position: number): void {
    if (this.#open === undefined) return;
    this.written.bytes += bytes.length;
    const { fd, entry } = this.#open;
    if (fd === undefined) this.#smallFiles?.add(bytes);
    else if (entry.runs === undefined) writeAll(fd, bytes);
    else writeAt(fd, bytes, position);
  }

  close(): void {
    if (this.#open === undefined) return;
    const file = this.#open;
    this.#open = undefined;
    const { entry, name } = file;
    if (file.fd === undefined) {
      this.#smallFiles?.make(this.#folders.fd(file.folder), name, entry);
      return;
    }
    try {
      this.#attributes.set(file.fd, entry, entry.path);
    } finally {
      close(file.fd);
    }
  }

  /** Waits for unfinished files, and sets the attributes of folders. */
  finish(): void {
    this.#smallFiles?.flush();
    // Children come first: their parent's final mode may forbid entering it.
    for (const folder of this.#model.childrenFirst()) {
      const { seconds, nanoseconds, ...attributes } = folder.attributes;
      const file = { ...attributes, mtime: { seconds, nanoseconds } };
      this.#attributes.setFolder(this.#folders.fd(folder), file, folder.name);
    }
  }

  /** Closes all descriptors. */
  closeAll(): void {
    if (this.#open?.fd !== undefined) close(this.#open.fd);
    this.#open = undefined;
    this.#folders.closeAll();
  }

  #act(decision: EntryMeaning, entry: TarEntry): void {
    switch (decision.kind) {
      case "ignore":
        return;
      case "root":
        this.#note(this.#model.root, entry);
        return;
      case "opaque":
        this.#remover.clear(this.#model.resolve(decision.folder), this.#layer);
        return;
      case "whiteout":
        this.#remover.hide(this.#model.resolve(decision.folder), decision.name, this.#layer);
        return;
      case "folder":
        this.#folder(decision.place, entry);
        return;
      case "hardlink":
        this.#hardlink(decision.place, decision.target, entry);
        return;
      case "file":
        this.#file(decision.place, entry);
        return;
      case "symlink": {
        const { folder, name } = this.#claim(decision.place, leaf(this.#layer, "symlink"));
        const dirfd = this.#folders.fd(folder);
        symlink(entry.link, dirfd, name);
        this.#attributes.setNamed({ dirfd, name }, entry, { isLink: true });
        return;
      }
      case "char":
      case "block":
      case "fifo":
        this.#special(decision.kind, decision.place, entry);
    }
  }

  #file(place: TreePlace, entry: TarEntry): void {
    const { folder, name } = this.#claim(place, leaf(this.#layer, "file"));
    if (this.#smallFiles?.takes(entry)) {
      this.#open = { fd: undefined, folder, name, entry };
      return;
    }
    const fd = createFile(this.#folders.fd(folder), name, modeAtFirst(entry.mode));
    this.#open = { fd, name, entry };
    if (entry.runs !== undefined) stretch(fd, entry);
  }

  #folder({ folder, name }: TreePlace, entry: TarEntry): void {
    const parent = this.#parent(folder);
    this.#note(this.#model.folderIn(parent, name) ?? this.#makeFolder(parent, name), entry);
  }

  #note(folder: Folder, entry: TarEntry): void {
    const { mode, uid, gid, mtime, xattrs } = entry;
    for (const [key, value] of xattrs ?? []) this.#noted += key.length + value.length;
    if (this.#noted > notedLimit)
      throw refusedEntry(entry, `is one of folders with over ${notedLimit} bytes of extended attributes`);
    folder.layer = this.#layer;
    noteLayer(folder, this.#layer);
    folder.attributes = { mode, uid, gid, ...mtime, xattrs };
  }

  #hardlink(place: TreePlace, target: TreePlace, entry: TarEntry): void {
    const from = this.#model.resolve(target.folder);
    const child = from && this.#model.find(from, target.name);
    if (from === undefined || child === undefined)
      throw refusedEntry(entry, `is a hard link to ${showName(entry.link)}, which isn't there`);
    if (child instanceof Folder) throw refusedEntry(entry, "is a hard link to a folder");
    const parent = this.#parent(place.folder);
    if (parent.id === from.id && place.name === target.name)
      throw refusedEntry(entry, "is a hard link to itself");
    // Making the parent may have replaced the target.
    if (this.#model.folderIn(from, target.name) !== undefined)
      throw refusedEntry(entry, "lies below the file it links to");
    if (isFolderWithin(from, this.#model.folderIn(parent, place.name)))
      throw refusedEntry(entry, "replaces the folder of the file it links to");
    this.#remover.remove(parent, place.name);
    const kind = isAbsent(child) ? "absent" : isSymlink(child) ? "symlink" : "file";
    this.#model.put(parent, place.name, leaf(this.#layer, kind));
    if (kind === "absent") return;
    this.#smallFiles?.flush();
    const toFd = this.#folders.fd(parent);
    // Opening the second folder can't close the first: only one is opened between the two calls.
    this.#link(from, target.name, toFd, { name: place.name, entry });
  }

  #link(from: Folder, name: string, toFd: number, to: { name: string; entry: TarEntry }): void {
    try {
      link(this.#folders.fd(from), name, toFd, to.name);
    } catch (thrown) {
      if (errorCode(thrown) !== "EMLINK") throw thrown;
      throw refusedEntry(to.entry, "is one hard link more than the filesystem allows a file to have");
    }
  }

  #special(kind: "char" | "block" | "fifo", place: TreePlace, entry: TarEntry): void {
    const { folder, name } = this.#makeRoom(place);
    const dirfd = this.#folders.fd(folder);
    const device = { major: entry.devMajor, minor: entry.devMinor };
    // The device number in a FIFO's header has no meaning, and the kernel refuses some numbers.
    const isMade = makeNode(dirfd, name, kind, kind === "fifo" ? noDevice : device);
    this.#model.put(folder, name, leaf(this.#layer, isMade ? "file" : "absent"));
    if (isMade) {
      this.#attributes.setNamed({ dirfd, name }, entry, { isLink: false });
      return;
    }
    this.#attributes.warnOnce(
      "devices can't be made in this container (it is unprivileged): the image's are left out",
    );
  }

  /** Removes what has the name, and adds the new child to the model. */
  #claim(place: TreePlace, child: number): { folder: Folder; name: string } {
    const { folder, name } = this.#makeRoom(place);
    this.#model.put(folder, name, child);
    return { folder, name };
  }

  #makeRoom({ folder, name }: TreePlace): { folder: Folder; name: string } {
    const parent = this.#parent(folder);
    this.#remover.remove(parent, name);
    return { folder: parent, name };
  }

  /** The folder that an entry goes into. Missing parts, and parts that are not folders, become folders. */
  #parent(parts: readonly string[]): Folder {
    return this.#model.resolve(parts, (parent, name) => this.#makeFolder(parent, name));
  }

  #makeFolder(parent: Folder, name: string): Folder {
    if (parent.depth >= folderDepthLimit)
      throw new UserError(
        `a layer has folders more than ${folderDepthLimit} deep; the image can't be unpacked`,
      );
    // Names from a symlink's target are checked here, because the target is only followed when an entry lies below
    // it.
    if (name.length > nameLimit)
      throw new UserError(
        `a symlink leads to a folder ${showName(name)} whose name has ${name.length} bytes; Linux takes ${nameLimit}; the image can't be unpacked`,
      );
    this.#remover.remove(parent, name);
    const made = this.#model.putFolder(parent, name);
    makeFolder(this.#folders.fd(parent), name);
    return made;
  }
}

function writeAt(fd: number, bytes: Buffer, position: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
}

/** Whether `folder` is `other` or lies below it. */
function isFolderWithin(folder: Folder, other: Folder | undefined): boolean {
  let at: Folder | undefined = folder;
  while (at !== undefined && at.id !== other?.id) at = at.parent;
  return at !== undefined;
}

/**
 * Sets the size of a sparse file before its data is written: it may end with a hole, or be too large for the
 * filesystem.
 */
function stretch(fd: number, entry: TarEntry): void {
  try {
    ftruncateSync(fd, entry.size);
  } catch (thrown) {
    const code = errorCode(thrown) ?? "";
    if (code !== "EFBIG" && code !== "EINVAL") throw thrown;
    throw refusedEntry(entry, `is a file of ${entry.size} bytes, larger than the filesystem takes (${code})`);
  }
}
