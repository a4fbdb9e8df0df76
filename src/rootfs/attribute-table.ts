import { NameHash } from "./name-hash.ts";
import { freeSlot, moveAll } from "./slots.ts";

/** A folder's attributes, but for its extended ones: whole numbers. */
export interface FolderNumbers {
  /** At most 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly seconds: number;
  /** From 0 to 999,999,999. */
  readonly nanoseconds: number;
}

/** The columns of a row. `rest` is the mode and the nanoseconds; `users` the number of folders that have the set. */
const attributeColumn = { uid: 0, gid: 1, seconds: 2, rest: 3, users: 4 } as const;
const width = 5;
const nanosecondsOfSecond = 1e9;
/** Sets are added in blocks. A single array would be copied as it grows, and would then exist twice. */
const setsOfBlock = 2 ** 10;

/**
 * Keeps each set of attributes once, however many folders have it: in real images few are different. A set takes
 * about 50 bytes. Its row is used again when no folder has the set any more.
 */
export class AttributeTable {
  readonly #rows: Float64Array[] = [];
  /** One more than the largest number of a row so far. */
  #length = 1;
  /** The first of the rows that are free again, or 0. The `uid` of each is the next one. */
  #free = 0;
  #used = 0;
  /** Numbers of rows by their content. */
  #slots = new Uint32Array(64);
  readonly #hash = new NameHash();

  /** The number of a set, from 1 on, which is added if it is new. The set has one user more afterwards. */
  add(numbers: FolderNumbers): number {
    if (this.#used * 4 >= this.#slots.length * 3) this.#grow();
    const slot = this.#slotOf(numbers);
    const known = this.#slots[slot] ?? 0;
    if (known !== 0) {
      this.#set(known, "users", this.#get(known, "users") + 1);
      return known;
    }
    const row = this.#freeRow();
    const { mode, uid, gid, seconds, nanoseconds } = numbers;
    this.#set(row, "uid", uid);
    this.#set(row, "gid", gid);
    this.#set(row, "seconds", seconds);
    this.#set(row, "rest", mode * nanosecondsOfSecond + nanoseconds);
    this.#set(row, "users", 1);
    this.#slots[slot] = row;
    this.#used++;
    return row;
  }

  /** The set of this number. */
  get(row: number): FolderNumbers {
    const rest = this.#get(row, "rest");
    return {
      mode: Math.floor(rest / nanosecondsOfSecond),
      uid: this.#get(row, "uid"),
      gid: this.#get(row, "gid"),
      seconds: this.#get(row, "seconds"),
      nanoseconds: rest % nanosecondsOfSecond,
    };
  }

  /** The set of this number, unless it is 0, has one user less. Without users it is removed. */
  remove(row: number): void {
    if (row === 0) return;
    const users = this.#get(row, "users") - 1;
    this.#set(row, "users", users);
    if (users > 0) return;
    const slot = this.#slotOf(this.get(row));
    freeSlot(this.#slots, slot, (other) => this.#hashOf(this.get(other)));
    this.#used--;
    this.#set(row, "uid", this.#free);
    this.#free = row;
  }

  #freeRow(): number {
    if (this.#free !== 0) {
      const row = this.#free;
      this.#free = this.#get(row, "uid");
      return row;
    }
    const row = this.#length++;
    if (row >= this.#rows.length * setsOfBlock) this.#rows.push(new Float64Array(setsOfBlock * width));
    return row;
  }

  #get(row: number, what: keyof typeof attributeColumn): number {
    return (
      this.#rows[Math.floor(row / setsOfBlock)]?.[(row % setsOfBlock) * width + attributeColumn[what]] ?? 0
    );
  }

  #set(row: number, what: keyof typeof attributeColumn, value: number): void {
    const block = this.#rows[Math.floor(row / setsOfBlock)];
    if (block !== undefined) block[(row % setsOfBlock) * width + attributeColumn[what]] = value;
  }

  /** The slot that holds the set, or the free one where it would go. */
  #slotOf(numbers: FolderNumbers): number {
    const mask = this.#slots.length - 1;
    let at = this.#hashOf(numbers) & mask;
    for (let known = this.#slots[at] ?? 0; known !== 0; known = this.#slots[at] ?? 0) {
      if (isEqual(this.get(known), numbers)) return at;
      at = (at + 1) & mask;
    }
    return at;
  }

  #hashOf({ mode, uid, gid, seconds, nanoseconds }: FolderNumbers): number {
    return this.#hash.of(mode, `${uid} ${gid} ${seconds} ${nanoseconds}`);
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    moveAll(old, (row) => (this.#slots[this.#slotOf(this.get(row))] = row));
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
