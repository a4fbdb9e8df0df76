import { close, nameLimit, openFolder, pathLimit } from "./syscalls.ts";
import type { Folder } from "./tree-model.ts";

/** Folders that are kept open are at most twice as many: far below the number of files that a process may have open. */
const keptAtOnce = 128;
/** As many names of the greatest length as fit into a path. */
const namesAtOnce = Math.floor((pathLimit - 1) / (nameLimit + 1));
/** The most folders above one that are kept open when it is opened. They save walking a deep tree from its root again. */
const stepsKept = 16;

/** A folder to open, and the names that lead to it from the folder before. */
interface Step {
  readonly id: number;
  readonly names: string[];
}

/**
 * Keeps the folders that are being written to open. A call with a name in an open folder resolves one name only, so
 * it can't lead elsewhere, whatever happens to the path meanwhile.
 */
export class OpenFolders {
  /**
   * Descriptors by folder id. When there are enough newer ones, the older ones are closed, and the newer ones become the
   * older ones. A single map in the order of use would leave so many of its tables behind that V8's heap grew by 10 MB.
   */
  #newer = new Map<number, number>();
  #older = new Map<number, number>();
  readonly #beforeClosing: () => void;
  readonly #root: number;
  /** The id of the folder that was asked for last. */
  #last = 0;
  #lastFd: number;

  /**
   * @param root the root's descriptor; the caller closes it
   * @param beforeClosing waits until nobody else uses the descriptors
   */
  constructor(root: number, beforeClosing: () => void) {
    this.#root = root;
    this.#lastFd = root;
    this.#beforeClosing = beforeClosing;
  }

  /** The folder's descriptor. It stays valid when another folder is asked for next, and no longer. */
  fd(folder: Folder): number {
    if (folder.id === this.#last) return this.#lastFd;
    const fd = this.#open(folder);
    this.#last = folder.id;
    this.#lastFd = fd;
    return fd;
  }

  /** Closes a folder that is being removed. */
  forget({ id }: Folder): void {
    const fd = this.#find(id);
    if (fd === undefined || id === 0) return;
    this.#newer.delete(id);
    this.#last = 0;
    this.#lastFd = this.#root;
    close(fd);
  }

  closeAll(): void {
    for (const fd of [...this.#newer.values(), ...this.#older.values()]) close(fd);
    this.#newer.clear();
    this.#older.clear();
    this.#last = 0;
    this.#lastFd = this.#root;
  }

  #find(id: number): number | undefined {
    if (id === 0) return this.#root;
    const newer = this.#newer.get(id);
    if (newer !== undefined) return newer;
    const older = this.#older.get(id);
    if (older !== undefined) {
      this.#older.delete(id);
      this.#keep(id, older);
    }
    return older;
  }

  #keep(id: number, fd: number): void {
    if (this.#newer.size === keptAtOnce) {
      if (this.#older.size > 0) this.#beforeClosing();
      for (const old of this.#older.values()) close(old);
      this.#older = this.#newer;
      this.#newer = new Map();
    }
    this.#newer.set(id, fd);
  }

  /** Opens a folder from the nearest open one above it, with steps in between where a path would be too long. */
  #open(folder: Folder): number {
    const steps: Step[] = [];
    let from = folder;
    let fd = this.#find(from.id);
    while (fd === undefined) {
      if ((steps.at(-1)?.names.length ?? namesAtOnce) === namesAtOnce) steps.push({ id: from.id, names: [] });
      steps.at(-1)?.names.unshift(from.name);
      from = from.parent as Folder;
      fd = this.#find(from.id);
    }
    return this.#walk(fd, steps);
  }

  /** @param steps the last one first */
  #walk(start: number, steps: readonly Step[]): number {
    let fd = start;
    let isKept = true;
    for (let at = steps.length - 1; at >= 0; at--) {
      const { id, names } = steps[at] as Step;
      const above = fd;
      try {
        fd = openFolder(above, names.join("/"));
      } finally {
        if (!isKept) close(above);
      }
      isKept = at <= stepsKept;
      if (isKept) this.#keep(id, fd);
    }
    return fd;
  }
}
