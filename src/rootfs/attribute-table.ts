import { NameHash } from "./name-hash.ts";

/** A folder's attributes, but for its extended ones: whole numbers. */
export interface FolderNumbers {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly seconds: number;
  readonly nanoseconds: number;
}

const width = 5;
/** Sets are added in blocks. A single array would be copied as it grows, and would then exist twice. */
const setsOfBlock = 2 ** 10;

/**
 * Keeps each set of attributes once, however many folders have it: in real images few are different. A set takes
 * about 50 bytes, and stays when no folder has it any more.
 */
export class AttributeTable {
  readonly #rows: Float64Array[] = [];
  #length = 0;
  /** Numbers of rows, counted from 1, by their content: open addressing with linear probing; 0 is a free slot. */
  #slots = new Uint32Array(64);
  readonly #hash = new NameHash();

  /** The number of a set, which is added if it is new. */
  add(numbers: FolderNumbers): number {
    if (this.#length * 4 >= this.#slots.length * 3) this.#grow();
    const slot = this.#slotOf(numbers);
    const known = this.#slots[slot] ?? 0;
    if (known !== 0) return known - 1;
    const row = this.#length++;
    if (row % setsOfBlock === 0) this.#rows.push(new Float64Array(setsOfBlock * width));
    const { mode, uid, gid, seconds, nanoseconds } = numbers;
    this.#rows.at(-1)?.set([mode, uid, gid, seconds, nanoseconds], (row % setsOfBlock) * width);
    this.#slots[slot] = row + 1;
    return row;
  }

  /** The set of this number. */
  get(row: number): FolderNumbers {
    const block = this.#rows[Math.floor(row / setsOfBlock)];
    const at = (row % setsOfBlock) * width;
    const column = (index: number) => block?.[at + index] ?? 0;
    return { mode: column(0), uid: column(1), gid: column(2), seconds: column(3), nanoseconds: column(4) };
  }

  /** The slot that holds the set, or the free one where it would go. */
  #slotOf(numbers: FolderNumbers): number {
    const { mode, uid, gid, seconds, nanoseconds } = numbers;
    const mask = this.#slots.length - 1;
    let at = this.#hash.of(mode, `${uid} ${gid} ${seconds} ${nanoseconds}`) & mask;
    for (let known = this.#slots[at] ?? 0; known !== 0; known = this.#slots[at] ?? 0) {
      if (isEqual(this.get(known - 1), numbers)) return at;
      at = (at + 1) & mask;
    }
    return at;
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let row = 0; row < this.#length; row++) this.#slots[this.#slotOf(this.get(row))] = row + 1;
  }
}

function isEqual(one: FolderNumbers, other: FolderNumbers): boolean {
  return (
    one.seconds === other.seconds &&
    one.nanoseconds === other.nanoseconds &&
    one.mode === other.mode &&
    one.uid === other.uid &&
    one.gid === other.gid
  );
}
