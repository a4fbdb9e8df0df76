import { Sha256 } from "../../image/sha256.ts";
import type { Defaults } from "../attributes.ts";
import { makeSmallFile } from "./make-small-file.ts";
import { nextTask } from "./next-task.ts";
import { JobQueue, type Shared, wake, word } from "./ring-buffer.ts";

/**
 * What the threads do while they would wait for each other: hash the bytes in the ring, and make small files of the
 * writer's. So both always have something to do, and no thread more has to be started and woken for it.
 */
export class SpareWork {
  readonly #shared: Shared;
  readonly #jobs: JobQueue;
  readonly #defaults: Defaults;
  readonly #hash: Sha256;
  readonly #backlog: number;
  /** The other thread's counter. */
  readonly #other: number;

  constructor(
    shared: Shared,
    { defaults, wakes }: { readonly defaults: Defaults; readonly wakes: "writer" | "producer" },
  ) {
    this.#shared = shared;
    this.#jobs = new JobQueue(shared.jobs);
    this.#defaults = defaults;
    this.#hash = new Sha256(shared.hashState);
    this.#backlog = shared.ring.length / 4;
    this.#other = wakes === "writer" ? word.wakeWriter : word.wakeProducer;
  }

  /**
   * Waits until a condition holds, and does spare work meanwhile. Checks the condition after each piece of work, and
   * when this thread is woken. Returns false once another thread has failed.
   * @param index this thread's counter
   */
  waitUntil(index: number, holds: () => boolean): boolean {
    const { words } = this.#shared;
    for (;;) {
      const before = Atomics.load(words, index);
      if (Atomics.load(words, word.failed) !== 0) return false;
      if (holds()) return true;
      if (!this.#doSome()) Atomics.wait(words, index, before);
    }
  }

  /** Ends the digest of a layer whose bytes are all hashed. Nobody may do spare work meanwhile. */
  digest(): void {
    this.#begin();
    this.#shared.digest.set(this.#hash.end());
    this.#shared.words[word.begun] = 0;
  }

  /**
   * Returns false if there is nothing to do, or the other thread is at it. It then wakes this one when it has done some.
   * If it only looked, and a job was left in that moment, that is done when more bytes come. To wake the other thread each
   * time cost a get a seventh more processor time.
   */
  #doSome(): boolean {
    const { words } = this.#shared;
    if (Atomics.compareExchange(words, word.busy, 0, 1) !== 0) return false;
    try {
      const task = nextTask((index) => Atomics.load(words, index), this.#backlog);
      // Whoever adds work wakes the other thread afterwards, or looks for it before it waits itself.
      if (task.kind === "none") return false;
      if (task.kind === "hash") this.#hashSome(task.length);
      else this.#doJob();
    } finally {
      Atomics.store(words, word.busy, 0);
    }
    wake(this.#shared, this.#other);
    return true;
  }

  #doJob(): void {
    const { words, ring } = this.#shared;
    const done = words[word.done] ?? 0;
    try {
      makeSmallFile(this.#jobs.read(done), ring, this.#defaults);
    } catch (thrown) {
      // This thread's answer says why. The other must not go on without the file.
      Atomics.store(words, word.failed, 1);
      wake(this.#shared, this.#other);
      throw thrown;
    }
    Atomics.store(words, word.done, (done + 1) | 0);
  }

  #hashSome(length: number): void {
    const { words, ring } = this.#shared;
    this.#begin();
    const position = words[word.hashed] ?? 0;
    const start = position & (ring.length - 1);
    const taken = Math.min(length, ring.length - start);
    this.#hash.add(ring.subarray(start, start + taken));
    Atomics.store(words, word.hashed, (position + taken) | 0);
  }

  #begin(): void {
    const { words } = this.#shared;
    if (words[word.begun] !== 0) return;
    this.#hash.begin();
    words[word.begun] = 1;
  }
}
