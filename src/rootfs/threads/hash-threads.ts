import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { errorOfThread } from "./failure.ts";
import type { PlainHasherAnswer } from "./plain-hasher.ts";
import type { ProducerRequest } from "./producer.ts";

/** Threads that compute digests of plain bytes. They are started when they are needed. */
export class HashThreads implements AsyncDisposable {
  readonly #limit: number;
  readonly #idle: Worker[] = [];
  readonly #all: Worker[] = [];
  readonly #waiting: ((worker: Worker) => void)[] = [];

  /** @param limit the most threads at once */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Computes the digest of a layer's plain bytes, once a thread is free.
   * @param open returns the bytes when the thread can take them; the thread closes their descriptor
   * @throws UserError when they can't be decompressed
   */
  async hash(open: () => ProducerRequest): Promise<{ readonly digest: string; readonly size: number }> {
    const worker = await this.#take();
    try {
      const answered = Promise.race([once(worker, "message"), once(worker, "exit").then(() => undefined)]);
      worker.postMessage(open());
      const message = await answered;
      if (message === undefined) throw new Error("a thread that takes digests has ended");
      const answer = message[0] as PlainHasherAnswer;
      if (answer.kind === "failed") throw errorOfThread(answer.failure);
      return answer;
    } finally {
      this.#give(worker);
    }
  }

  async #take(): Promise<Worker> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#all.length >= this.#limit) return new Promise((resolve) => this.#waiting.push(resolve));
    const worker = new Worker(new URL("./plain-hasher.ts", import.meta.url));
    this.#all.push(worker);
    return worker;
  }

  #give(worker: Worker): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(worker);
    else next(worker);
  }

  /** Ends the threads. Everything that they read must have ended before. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((worker) => worker.terminate()));
  }
}
