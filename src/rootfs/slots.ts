/** Slots of a hash table with open addressing and linear probing. Their number is a power of two, and 0 is a free one. */
export type Slots = Uint32Array<ArrayBuffer>;

/**
 * Frees a slot. Entries behind it whose probing began before it move up, or they would no longer be found.
 * @param begun returns where the probing of an entry began; higher bits don't matter
 */
export function freeSlot(slots: Slots, slot: number, begun: (entry: number) => number): void {
  const mask = slots.length - 1;
  let hole = slot;
  for (let at = (hole + 1) & mask; slots[at] !== 0; at = (at + 1) & mask) {
    const entry = slots[at] as number;
    if (((at - begun(entry)) & mask) < ((at - hole) & mask)) continue;
    slots[hole] = entry;
    hole = at;
  }
  slots[hole] = 0;
}

/**
 * Moves all entries, and frees the memory of the old slots. Otherwise that would stay until V8 collects garbage, which
 * it seldom does for memory outside its heap.
 */
export function moveAll(old: Slots, move: (entry: number) => void): void {
  for (const entry of old) if (entry !== 0) move(entry);
  old.buffer.transfer(0);
}
