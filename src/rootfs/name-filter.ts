import { NameHash } from "./name-hash.ts";
import { freeSlot, moveAll } from "./slots.ts";

/** What the filter knows of a file. */
export interface NotedFile {
  readonly isLink: boolean;
  /** The current layer has written it. */
  readonly isFresh: boolean;
}

const freshFlag = 1;
const linkFlag = 2;
const flags = freshFlag | linkFlag;

/**
 * Which files exist, by folder and name, in five to eleven bytes a file, however long the names are. Of each name
 * only a keyed hash of 30 bits (the fingerprint) is kept.
 *
 * No fingerprint means: no such file. A fingerprint means: perhaps, and only the disk can tell, because another
 * name may have the same one. `add` refuses a name whose fingerprint is taken, so a fingerprint always belongs to
 * one file. The key is random, so nobody can prepare names that collide or that are slow to find.
 */
export class NameFilter {
  /** Open addressing with linear probing: a fingerprint with its two flags, or 0. */
  #slots = new Uint32Array(1024);
  #used = 0;
  readonly #hash = new NameHash();

  /** The file with this name's fingerprint. It may be a file of another name. */
  find(folder: number, name: string): NotedFile | undefined {
    const slot = this.#slots[this.#at(this.#trace(folder, name))] ?? 0;
    return slot === 0 ? undefined : { isLink: (slot & linkFlag) !== 0, isFresh: (slot & freshFlag) !== 0 };
  }

  /**
   * Adds a file of the current layer that doesn't exist yet.
   * @returns false if another file has its fingerprint; then nothing is added
   */
  add(folder: number, name: string, isLink: boolean): boolean {
    if (this.#used * 4 >= this.#slots.length * 3) this.#grow();
    const trace = this.#trace(folder, name);
    const at = this.#at(trace);
    if (this.#slots[at] !== 0) return false;
    this.#slots[at] = trace | freshFlag | (isLink ? linkFlag : 0);
    this.#used++;
    return true;
  }

  /** Removes a file that was added. */
  delete(folder: number, name: string): void {
    const at = this.#at(this.#trace(folder, name));
    if (this.#slots[at] === 0) return;
    freeSlot(this.#slots, at, (slot) => slot >>> 2);
    this.#used--;
  }

  /** The next layer begins: no file is of that layer yet. */
  startLayer(): void {
    const slots = this.#slots;
    for (let at = 0; at < slots.length; at++) slots[at] = (slots[at] as number) & ~freshFlag;
  }

  /** The slot that holds a fingerprint, or the free one where it would go. */
  #at(trace: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = (trace >>> 2) & mask;
    while (slots[at] !== 0 && (((slots[at] as number) ^ trace) & ~flags) !== 0) at = (at + 1) & mask;
    return at;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    moveAll(old, (slot) => (this.#slots[this.#at(slot)] = slot));
  }

  /** The fingerprint: 30 bits of the hash, never 0; the two low bits are free for flags. */
  #trace(folder: number, name: string): number {
    return (this.#hash.of(folder, name) & ~flags) >>> 0 || flags + 1;
  }
}
