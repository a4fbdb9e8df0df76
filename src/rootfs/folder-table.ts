import { NameHash } from "./name-hash.ts";
import { freeSlot, moveAll } from "./slots.ts";

/**
 * The columns of a folder's row of 20 bytes, as the place in it. `name` is the place of the name's bytes, counted from
 * those of the block's first row.
 */
const column = {
  // In units of four bytes.
  parent: 0,
  attributes: 1,
  name: 2,
  // In units of two bytes: a manifest of at most 4 MiB has no room for 2^16 layers.
  depth: 6,
  layer: 7,
  newest: 8,
  cleared: 9,
} as const;
const rowBytes = 20;
const firstOfTwoBytes = column.depth;

/** Rows are added in blocks. A single array would be copied as it grows, and would then exist twice. */
const rowsOfBlock = 2 ** 14;
const bytesOfNameBlock = 2 ** 20;

/**
 * The folders of a tree, by id: where they are, their names and their numbers. A folder takes about 30 bytes, and the
 * bytes of its name. As objects with maps of their children they took 280 more. Only the disk lists the folders in a
 * folder. The root is there from the start and has the id 0. A folder's id is larger than its parent's, and is never
 * used again for another folder.
 */
export class FolderTable {
  /** Blocks of rows, each seen in two ways. */
  readonly #rows: { readonly four: Uint32Array; readonly two: Uint16Array }[] = [];
  readonly #names: Buffer[] = [];
  /** Where the names of each block's rows begin. */
  readonly #namesOfRows: number[] = [];
  /** Where the next name goes. */
  #namesEnd = 0;
  /** Ids by parent and name: open addressing with linear probing; 0 is a free slot. */
  #slots = new Uint32Array(1024);
  #used = 0;
  readonly #hash = new NameHash();
  /** One more than the largest id. */
  #length = 0;

  constructor() {
    this.#addRow("");
  }

  /** One more than the largest id so far. */
  get length(): number {
    return this.#length;
  }

  get(id: number, what: keyof typeof column): number {
    const block = this.#rows[Math.floor(id / rowsOfBlock)];
    const at = column[what];
    const row = (id % rowsOfBlock) * rowBytes;
    return (at < firstOfTwoBytes ? block?.four[row / 4 + at] : block?.two[row / 2 + at]) ?? 0;
  }

  set(id: number, what: keyof typeof column, value: number): void {
    const block = this.#rows[Math.floor(id / rowsOfBlock)];
    if (block === undefined) return;
    const at = column[what];
    const row = (id % rowsOfBlock) * rowBytes;
    if (at < firstOfTwoBytes) block.four[row / 4 + at] = value;
    else block.two[row / 2 + at] = value;
  }

  name(id: number): string {
    const place = (this.#namesOfRows[Math.floor(id / rowsOfBlock)] ?? 0) + this.get(id, "name");
    const start = place % bytesOfNameBlock;
    const block = this.#names[Math.floor(place / bytesOfNameBlock)];
    return block?.toString("latin1", start + 1, start + 1 + (block[start] ?? 0)) ?? "";
  }

  /** The folder with this name in another. */
  find(parent: number, name: string): number | undefined {
    const id = this.#slots[this.#slotOf(parent, name)] ?? 0;
    return id === 0 ? undefined : id;
  }

  /**
   * Adds a folder under a free name. Its other numbers are 0.
   * @param name bytes as latin1, at most 255
   */
  add(parent: number, name: string): number {
    if (this.#used * 4 >= this.#slots.length * 3) this.#grow();
    const id = this.#addRow(name);
    this.set(id, "parent", parent);
    this.set(id, "depth", this.get(parent, "depth") + 1);
    this.#slots[this.#slotOf(parent, name)] = id;
    this.#used++;
    return id;
  }

  /** Removes a folder that has no folders in it. */
  remove(id: number): void {
    const slot = this.#slotOf(this.get(id, "parent"), this.name(id));
    freeSlot(this.#slots, slot, (other) => this.#hash.of(this.get(other, "parent"), this.name(other)));
    this.#used--;
    this.set(id, "parent", id);
  }

  /** Whether the folder has not been removed. */
  exists(id: number): boolean {
    return id === 0 || this.get(id, "parent") !== id;
  }

  #addRow(name: string): number {
    const id = this.#length++;
    const place = this.#addName(name);
    if (id % rowsOfBlock === 0) {
      const bytes = new ArrayBuffer(rowsOfBlock * rowBytes);
      this.#rows.push({ four: new Uint32Array(bytes), two: new Uint16Array(bytes) });
      this.#namesOfRows.push(place);
    }
    this.set(id, "name", place - (this.#namesOfRows.at(-1) ?? 0));
    return id;
  }

  /** Stores a name, after a byte with its length. A name is never in two blocks. */
  #addName(name: string): number {
    const left = this.#names.length * bytesOfNameBlock - this.#namesEnd;
    if (left < name.length + 1) {
      this.#namesEnd = this.#names.length * bytesOfNameBlock;
      this.#names.push(Buffer.allocUnsafeSlow(bytesOfNameBlock));
    }
    const place = this.#namesEnd;
    const start = place % bytesOfNameBlock;
    const block = this.#names.at(-1);
    block?.writeUInt8(name.length, start);
    block?.write(name, start + 1, "latin1");
    this.#namesEnd += name.length + 1;
    return place;
  }

  /** The slot that holds a folder, or the free one where it would go. */
  #slotOf(parent: number, name: string): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = this.#hash.of(parent, name) & mask;
    for (let id = slots[at] ?? 0; id !== 0; id = slots[at] ?? 0) {
      if (this.get(id, "parent") === parent && this.name(id) === name) return at;
      at = (at + 1) & mask;
    }
    return at;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    moveAll(old, (id) => (this.#slots[this.#slotOf(this.get(id, "parent"), this.name(id))] = id));
  }
}
