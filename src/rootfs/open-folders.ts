import { close, nameLimit, openFolder, pathLimit } from "./syscalls.ts";
import type { Folder } from "./tree-model.ts";

/** Far below the number of files that a process may have open. */
const limit = 256;
/**
 * As many names of the greatest length as fit into a path. It also keeps a deep tree from being walked from its
 * root each time.
 */
const namesAtOnce = Math.floor((pathLimit - 1) / (nameLimit + 1));

/**
 * Keeps the folders that are being written to open. A call with a name in an open folder resolves one name only, so
 * it can't lead elsewhere, whatever happens to the path meanwhile.
 */
export class OpenFolders {
  /** By folder id. */
  readonly #fds = new Map<number, number>();
  readonly #beforeClosing: () => void;
  readonly #root: number;
  /** The id of the folder that was asked for last. */
  #last: number | undefined;
  #lastFd = -1;

  /**
   * @param root the root's descriptor; the caller closes it
   * @param beforeClosing waits until nobody else uses the descriptors
   */
  constructor(root: number, beforeClosing: () => void) {
    this.#root = root;
    this.#beforeClosing = beforeClosing;
  }

  /** The folder's descriptor, valid until the next folder is asked for. */
  fd(folder: Folder): number {
    if (folder.id === this.#last) return this.#lastFd;
    const fd = this.#find(folder);
    this.#last = folder.id;
    this.#lastFd = fd;
    return fd;
  }

  /** Closes a folder that is being removed. */
  forget(folder: Folder): void {
    const fd = this.#fds.get(folder.id);
    if (fd === undefined) return;
    this.#fds.delete(folder.id);
    this.#last = undefined;
    close(fd);
  }

  closeAll(): void {
    for (const fd of this.#fds.values()) close(fd);
    this.#fds.clear();
    this.#last = undefined;
  }

  #find(folder: Folder): number {
    if (folder.parent === undefined) return this.#root;
    const known = this.#fds.get(folder.id);
    if (known !== undefined) {
      // A map keeps the order of insertion: the last entry is the most recently used.
      this.#fds.delete(folder.id);
      this.#fds.set(folder.id, known);
      return known;
    }
    if (this.#fds.size >= limit) this.#closeHalf();
    const fd = this.#open(folder);
    this.#fds.set(folder.id, fd);
    return fd;
  }

  /** Opens the folder from the nearest open folder above it. */
  #open(folder: Folder): number {
    const names: string[] = [];
    for (let from: Folder | undefined = folder; from?.parent !== undefined; from = from.parent) {
      if (names.length === namesAtOnce) return openFolder(this.#find(from), names.join("/"));
      const start = this.#fds.get(from.id);
      if (start !== undefined) return openFolder(start, names.join("/"));
      names.unshift(from.name);
    }
    return openFolder(this.#root, names.join("/"));
  }

  #closeHalf(): void {
    this.#beforeClosing();
    for (const [id, fd] of this.#fds) {
      if (this.#fds.size <= limit / 2) break;
      this.#fds.delete(id);
      close(fd);
    }
    this.#last = undefined;
  }
}
