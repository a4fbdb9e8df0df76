/** How far the bytes of a blob have come into their file. It is shared with the thread that reads them there. */
export class Arrival {
  readonly memory: SharedArrayBuffer;
  /** Raised whenever anything changes; and 1 once no more bytes will come. */
  readonly #words: Int32Array;
  /** The number of bytes that are in the file. */
  readonly #received: BigInt64Array;

  /** @param memory that of another thread's arrival; by default its own */
  constructor(memory = new SharedArrayBuffer(16)) {
    this.memory = memory;
    this.#words = new Int32Array(memory, 0, 2);
    this.#received = new BigInt64Array(memory, 8, 1);
  }

  /** Tells the reader how many bytes are there. */
  tell(received: number, isEnd: boolean): void {
    Atomics.store(this.#received, 0, BigInt(received));
    if (isEnd) Atomics.store(this.#words, 1, 1);
    Atomics.add(this.#words, 0, 1);
    Atomics.notify(this.#words, 0);
  }

  /** Makes the reader stop as if the blob ended at what it has read. */
  stop(): void {
    this.tell(0, true);
  }

  /**
   * Blocks this thread until more than `read` bytes are there, or no more will come.
   * @returns the number of bytes that are there; at the end perhaps no more than `read`
   */
  wait(read: number): number {
    for (;;) {
      const before = Atomics.load(this.#words, 0);
      // Looked at first: the last bytes are told before the end, or with it.
      const isEnd = Atomics.load(this.#words, 1) !== 0;
      const received = Number(Atomics.load(this.#received, 0));
      if (received > read || isEnd) return received;
      Atomics.wait(this.#words, 0, before);
    }
  }
}
