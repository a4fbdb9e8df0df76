/** The columns of the table: whole numbers from 0 to 2^32 - 1. */
export const noted = {
  depth: 0,
  layer: 1,
  newest: 2,
  cleared: 3,
  mode: 4,
  uid: 5,
  gid: 6,
  nanoseconds: 7,
} as const;
const width = 8;

/**
 * Numbers of folders, by folder id, in 40 bytes a folder. As properties of objects they would take a hundred bytes
 * more.
 */
export class FolderTable {
  #whole = new Uint32Array(width * 256);
  /** Seconds since 1970. They may be negative and need up to 53 bits. */
  #seconds = new Float64Array(256);

  get(id: number, what: keyof typeof noted): number {
    return this.#whole[id * width + noted[what]] ?? 0;
  }

  /** @param id at most one more than the largest so far */
  set(id: number, what: keyof typeof noted, value: number): void {
    if (id >= this.#seconds.length) this.#grow();
    this.#whole[id * width + noted[what]] = value;
  }

  getSeconds(id: number): number {
    return this.#seconds[id] ?? 0;
  }

  setSeconds(id: number, seconds: number): void {
    this.#seconds[id] = seconds;
  }

  #grow(): void {
    const whole = new Uint32Array(this.#whole.length * 2);
    whole.set(this.#whole);
    this.#whole = whole;
    const seconds = new Float64Array(this.#seconds.length * 2);
    seconds.set(this.#seconds);
    this.#seconds = seconds;
  }
}
