import { addAbortListener, once } from "node:events";
import type { Worker } from "node:worker_threads";
import { startThread } from "../../host/thread.ts";
import type { PlainHasherAnswer } from "./plain-hasher.ts";
import type { ProducerRequest } from "./producer-request.ts";

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
   * @param signal ends the waiting for a thread
   */
  async hash(open: () => ProducerRequest, signal: AbortSignal): Promise<PlainHasherAnswer> {
    const worker = await this.#take(signal);
    try {
      const answered = Promise.race([once(worker, "message"), once(worker, "exit").then(() => undefined)]);
      worker.postMessage(open());
      const message = await answered;
      if (message === undefined) throw new Error("a thread that takes digests has ended");
      return message[0] as PlainHasherAnswer;
    } finally {
      this.#give(worker);
    }
  }

  async #take(signal: AbortSignal): Promise<Worker> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#all.length >= this.#limit) return this.#wait(signal);
    const worker = startThread(new URL("./plain-hasher.ts", import.meta.url));
    this.#all.push(worker);
    return worker;
  }

  async #wait(signal: AbortSignal): Promise<Worker> {
    const { promise, resolve, reject } = Promise.withResolvers<Worker>();
    this.#waiting.push(resolve);
    using _ = addAbortListener(signal, () => {
      const at = this.#waiting.indexOf(resolve);
      // Otherwise it has got a thread already.
      if (at < 0) return;
      this.#waiting.splice(at, 1);
      reject(signal.reason);
    });
    return await promise;
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
