import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import type { Log } from "../host/log.ts";
import { type Decision, decide, type Place, refused } from "./decision.ts";
import { type Found, type Node, newNode, TreeModel } from "./model.ts";
import { makeNode, setAttribute, setTimes } from "./system.ts";
import type { TarEntry } from "./tar/entry.ts";
import type { TarHandler } from "./tar/reader.ts";

/** What a folder shall be in the end: set last, since each child that comes or goes changes its time. */
interface FolderAttributes {
  readonly path: readonly string[];
  readonly entry: TarEntry;
}

interface OpenFile {
  readonly fd: number;
  readonly path: Buffer;
  readonly entry: TarEntry;
}

const idLimit = 2 ** 32 - 2;

/** Of attributes that belong to the machine or to its container runtime, not to an image. */
const foreignAttribute = /^(security\.selinux|trusted\.overlay\..*)$/;

/** Writes layers' entries below a root, lower layers first. Synchronous; every path it uses is free of symlinks. */
export class TreeWriter implements TarHandler {
  readonly #root: Buffer;
  readonly #log: Log;
  readonly #model = new TreeModel();
  readonly #folders = new Map<Node, FolderAttributes>();
  readonly #warned = new Set<string>();
  #layer = -1;
  #open: OpenFile | undefined;
  /** So far. */
  readonly written = { entries: 0, bytes: 0 };

  /** @param root an empty folder */
  constructor(root: string, log: Log) {
    this.#root = Buffer.from(root);
    this.#log = log;
  }

  /** The entries that follow are those of the next layer. */
  startLayer(): void {
    this.#layer++;
  }

  entry(entry: TarEntry): void {
    this.written.entries++;
    const decision = decide(entry);
    this.#act(decision, entry);
  }

  content(bytes: Buffer, position: number): void {
    if (this.#open === undefined) return;
    this.written.bytes += bytes.length;
    let at = 0;
    while (at < bytes.length) {
      at += writeSync(this.#open.fd, bytes, at, bytes.length - at, position + at);
    }
  }

  close(): void {
    if (this.#open === undefined) return;
    const { fd, path, entry } = this.#open;
    this.#open = undefined;
    try {
      if (entry.runs !== undefined) ftruncateSync(fd, entry.size);
      fchownSync(fd, ...owner(entry));
      // After chown(2), which drops setuid bits and file capabilities.
      fchmodSync(fd, entry.mode & 0o7777);
    } finally {
      closeSync(fd);
    }
    this.#attributes(path, entry);
    setTimes(path, entry.mtime, entry.atime);
  }

  /** Sets what folders shall be, the deepest first. */
  finish(): void {
    const folders = [...this.#folders.values()].toSorted((a, b) => b.path.length - a.path.length);
    for (const { path: parts, entry } of folders) {
      const path = this.#path(parts);
      lchownSync(path, ...owner(entry));
      chmodSync(path, entry.mode & 0o7777);
      this.#attributes(path, entry);
      setTimes(path, entry.mtime, entry.atime);
    }
  }

  /** Closes what an error has left open. */
  abandon(): void {
    if (this.#open !== undefined) closeSync(this.#open.fd);
    this.#open = undefined;
  }

  #act(decision: Decision, entry: TarEntry): void {
    switch (decision.kind) {
      case "ignore":
        return;
      case "root":
        this.#folders.set(this.#model.root, { path: [], entry });
        return;
      case "opaque": {
        const found = this.#model.resolve(decision.folder);
        if (found !== undefined) this.#hideChildren(found);
        return;
      }
      case "whiteout": {
        const found = this.#model.resolve(decision.folder);
        if (found !== undefined) this.#hide(found, decision.name);
        return;
      }
      case "folder":
        this.#folder(decision.place, entry);
        return;
      case "hardlink":
        this.#hardlink(decision.place, decision.target, entry);
        return;
      case "file": {
        const path = this.#claim(decision.place, newNode("other", this.#layer));
        const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
        this.#open = { fd: openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600), path, entry };
        return;
      }
      case "symlink": {
        if (entry.link === "") throw refused(entry, "is a symlink to nothing");
        const path = this.#claim(decision.place, newNode("symlink", this.#layer, entry.link));
        symlinkSync(Buffer.from(entry.link, "latin1"), path);
        lchownSync(path, ...owner(entry));
        this.#attributes(path, entry);
        setTimes(path, entry.mtime, entry.atime);
        return;
      }
      case "char":
      case "block":
      case "fifo":
        this.#special(decision.kind, decision.place, entry);
    }
  }

  #folder({ folder, name }: Place, entry: TarEntry): void {
    const parent = this.#parent(folder);
    const existing = parent.node.children.get(name);
    const path = [...parent.path, name];
    let node = existing;
    if (existing?.kind !== "folder") {
      this.#remove(parent, name);
      node = newNode("folder", this.#layer);
      parent.node.children.set(name, node);
      mkdirSync(this.#path(path), { mode: 0o700 });
    }
    if (node === undefined) return;
    node.layer = this.#layer;
    this.#folders.set(node, { path, entry });
  }

  #hardlink(place: Place, target: Place, entry: TarEntry): void {
    const from = this.#model.resolve(target.folder);
    const node = from?.node.children.get(target.name);
    if (from === undefined || node === undefined) {
      throw refused(
        entry,
        `is a hard link to ${JSON.stringify(entry.link.slice(0, 300))}, which isn't there`,
      );
    }
    if (node.kind === "folder") throw refused(entry, "is a hard link to a folder");
    const parent = this.#parent(place.folder);
    if (parent.node === from.node && place.name === target.name)
      throw refused(entry, "is a hard link to itself");
    // Making the parent may have replaced what is linked to.
    if (from.node.children.get(target.name) !== node) throw refused(entry, "lies below the file it links to");
    this.#remove(parent, place.name);
    linkSync(this.#path([...from.path, target.name]), this.#path([...parent.path, place.name]));
    parent.node.children.set(place.name, newNode(node.kind, this.#layer, node.target));
  }

  #special(kind: "char" | "block" | "fifo", place: Place, entry: TarEntry): void {
    const path = this.#claim(place, newNode("other", this.#layer));
    const device = { major: entry.devMajor, minor: entry.devMinor };
    if (makeNode(path, kind, device) !== 0) {
      this.#parent(place.folder).node.children.delete(place.name);
      this.#warnOnce(
        "devices can't be made in this container (it is unprivileged): the image's are left out",
      );
      return;
    }
    lchownSync(path, ...owner(entry));
    chmodSync(path, entry.mode & 0o7777);
    this.#attributes(path, entry);
    setTimes(path, entry.mtime, entry.atime);
  }

  /** Makes room for something under a name, and notes it. */
  #claim({ folder, name }: Place, node: Node): Buffer {
    const parent = this.#parent(folder);
    this.#remove(parent, name);
    parent.node.children.set(name, node);
    return this.#path([...parent.path, name]);
  }

  /** A folder for an entry; what is missing of it, or is none, becomes one. */
  #parent(parts: readonly string[]): Found {
    const found = this.#model.resolve(parts, (at, name) => {
      this.#remove(at, name);
      const made = newNode("folder", this.#layer);
      at.node.children.set(name, made);
      mkdirSync(this.#path([...at.path, name]), { mode: 0o755 });
      chmodSync(this.#path([...at.path, name]), 0o755);
      return made;
    });
    if (found === undefined) throw new Error("a folder that was made isn't there");
    return found;
  }

  #remove({ node, path }: Found, name: string): void {
    const child = node.children.get(name);
    if (child === undefined) return;
    node.children.delete(name);
    this.#forget(child);
    const full = this.#path([...path, name]);
    if (child.kind === "folder") rmSync(full, { recursive: true });
    else unlinkSync(full);
  }

  #forget(node: Node): void {
    const pending = [node];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      this.#folders.delete(next);
      for (const child of next.children.values()) if (child.kind === "folder") pending.push(child);
    }
  }

  /** A whiteout hides what lower layers have put there, and nothing of its own layer. */
  #hide(found: Found, name: string): void {
    const child = found.node.children.get(name);
    if (child === undefined) return;
    if (child.kind === "folder" && this.#holdsOwn(child)) {
      this.#hideChildren({ node: child, path: [...found.path, name] });
    } else if (child.layer < this.#layer) {
      this.#remove(found, name);
    }
  }

  #hideChildren(found: Found): void {
    for (const name of found.node.children.keys()) this.#hide(found, name);
  }

  /** Whether this layer has put the folder there, or anything below it. */
  #holdsOwn(folder: Node): boolean {
    const pending = [folder];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      if (next.layer === this.#layer) return true;
      pending.push(...next.children.values());
    }
    return false;
  }

  #attributes(path: Buffer, { xattrs }: TarEntry): void {
    for (const [name, value] of xattrs ?? []) {
      if (foreignAttribute.test(name)) continue;
      if (setAttribute(path, name, value) === 0) continue;
      const [space = name] = name.split(".");
      this.#warnOnce(`extended attributes ${space}.* can't be set here: some of the image's are left out`);
    }
  }

  #warnOnce(text: string): void {
    if (this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#log.warn(text);
  }

  #path(parts: readonly string[]): Buffer {
    if (parts.length === 0) return this.#root;
    return Buffer.concat([this.#root, Buffer.from(`/${parts.join("/")}`, "latin1")]);
  }
}

function owner(entry: TarEntry): [number, number] {
  for (const id of [entry.uid, entry.gid]) {
    if (id < 0 || id > idLimit)
      throw refused(entry, `has owner ${id}, which is no user or group id of Linux`);
  }
  return [entry.uid, entry.gid];
}
