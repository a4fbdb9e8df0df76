import type { OpenFolders } from "./open-folders.ts";
import { eachName, removeEmptyFolder, unlink } from "./syscalls.ts";
import { type Child, Folder, impliedAttributes, isAbsent, layerOf, type TreeModel } from "./tree-model.ts";

/** What a layer hides. */
interface Hidden {
  readonly child: Child;
  readonly layer: number;
}

/** Removes what layers replace and hide, from the disk and from the model. */
export class TreeRemover {
  readonly #model: TreeModel;
  readonly #folders: OpenFolders;
  readonly #settle: () => void;

  /** @param settle waits until all files that were added to the model are on the disk */
  constructor(model: TreeModel, folders: OpenFolders, settle: () => void) {
    this.#model = model;
    this.#folders = folders;
    this.#settle = settle;
  }

  /** Removes what has the name, if anything has. */
  remove(parent: Folder, name: string): void {
    const child = this.#model.find(parent, name);
    if (child === undefined) return;
    this.#settle();
    if (child instanceof Folder) {
      this.#removeTree(child);
      return;
    }
    this.#model.remove(parent, name);
    if (!isAbsent(child)) unlink(this.#folders.fd(parent), name);
  }

  /** Hides a child of a folder from the current layer on. */
  hide(folder: Folder | undefined, name: string, layer: number): void {
    const child = folder && this.#model.find(folder, name);
    if (folder !== undefined && child !== undefined)
      this.clear(this.#hideChild(folder, name, { child, layer }), layer);
  }

  /** Hides all that lower layers have written in a folder. */
  clear(folder: Folder | undefined, layer: number): void {
    const pending = [folder];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      // Once for each layer is enough: what this layer adds later isn't hidden.
      if (next.cleared === layer) continue;
      next.cleared = layer;
      for (const [name, child] of this.#model.apart(next)) this.#hideChild(next, name, { child, layer });
      this.#settle();
      for (const id of this.#removeFiles(next, (child) => layerOf(child) < layer)) {
        const child = this.#model.folder(id);
        const left = this.#hideChild(next, child.name, { child, layer });
        if (left !== undefined) pending.push(left);
      }
    }
  }

  #removeTree(folder: Folder): void {
    // Ids of folders. An emptied folder has the complement of its id, and lies below those that were in it.
    const pending = [folder.id];
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      if (id < 0) {
        this.#removeFolder(this.#model.folder(~id));
        continue;
      }
      pending.push(~id);
      for (const below of this.#removeFiles(this.#model.folder(id), () => true)) pending.push(below);
    }
  }

  /** Removes a folder in which nothing is left. */
  #removeFolder(folder: Folder): void {
    const { parent, name } = folder;
    if (parent === undefined) throw new Error("the root is never removed");
    this.#folders.forget(folder);
    removeEmptyFolder(this.#folders.fd(parent), name);
    this.#model.removeFolder(folder);
  }

  /**
   * Removes the files in a folder, as listed by the disk, for which `isToGo` returns true.
   * @returns the ids of the folders in it
   */
  #removeFiles(folder: Folder, isToGo: (child: number) => boolean): readonly number[] {
    const dirfd = this.#folders.fd(folder);
    const below: number[] = [];
    eachName(dirfd, (name) => {
      const child = this.#model.known(folder, name);
      if (child instanceof Folder) {
        below.push(child.id);
        return;
      }
      if (child === undefined || !isToGo(child)) return;
      this.#model.remove(folder, name);
      unlink(dirfd, name);
    });
    return below;
  }

  /**
   * Hides a child. A whiteout hides what lower layers have written, and nothing of its own layer.
   * @returns the child if it is a folder that stays because this layer has written below it; the rest of its
   * content must be hidden
   */
  #hideChild(parent: Folder, name: string, { child, layer }: Hidden): Folder | undefined {
    if (child instanceof Folder && child.newest === layer) {
      if (child.layer < layer) {
        // The lower layers' folder is hidden. This one only holds what this layer has written below it.
        child.layer = layer;
        child.attributes = impliedAttributes;
      }
      return child;
    }
    if (layerOf(child) < layer) this.remove(parent, name);
    return undefined;
  }
}
