import { addAbortListener, once } from "node:events";
import type { Worker } from "node:worker_threads";
import type { StepContext } from "../../host/step-context.ts";
import { startThread } from "../../host/thread.ts";
import type { Digest } from "../../image/digest.ts";
import type { FoundBlob } from "../../image/verify.ts";
import type { OpenLayer } from "../layer/open-layer.ts";
import { errorOfThread, isStopped } from "./failure.ts";
import type { ProducerAnswer } from "./producer.ts";
import type { ProducerRequest } from "./producer-request.ts";
import { allocate, type Loaded, type Shared, share, wake, word } from "./ring-buffer.ts";
import type { WriterAnswer, WriterRequest } from "./writer.ts";

/** What is written of a layer, and where. */
export interface LayerToWrite {
  /** The folder to unpack into. The same for all layers. */
  readonly root: string;
  /** The blob's, for messages. */
  readonly digest: Digest;
  /** Whether the digest of its plain bytes is computed. */
  readonly isHashed: boolean;
}

/** The threads of one unpacking. {@link Shared} describes what each does. */
export class Threads implements AsyncDisposable {
  readonly shared: Shared;
  readonly #workers: readonly Worker[];
  readonly #producer: Questions<ProducerRequest, ProducerAnswer>;
  readonly #writer: Questions<WriterRequest, Exclude<WriterAnswer, { kind: "warning" }>>;
  readonly #failed = Promise.withResolvers<never>();
  /** Resolves when each thread has sent its first message or has ended. */
  readonly #begun: Promise<unknown>;
  #producing: Promise<unknown> | undefined;
  readonly #untilAborted: Disposable;

  constructor({ log, signal }: Pick<StepContext, "log" | "signal">) {
    const memory = allocate();
    this.shared = share(memory);
    const producer = startThread(new URL("./producer.ts", import.meta.url), memory);
    const writer = startThread(new URL("./writer.ts", import.meta.url), memory);
    this.#workers = [producer, writer];
    const begun = this.#workers.map((worker) =>
      Promise.race([once(worker, "message"), once(worker, "exit")]),
    );
    this.#begun = Promise.allSettled(begun);
    this.#failed.promise.catch(() => {}); // The error is thrown where a thread is waited for.
    this.#producer = new Questions(producer, this.#failed.promise);
    this.#writer = new Questions(writer, this.#failed.promise);
    writer.on("message", (answer: WriterAnswer) => {
      if (answer.kind === "warning") log.warn(answer.text);
      else this.#writer.answered(answer);
    });
    producer.on("message", (answer: ProducerAnswer) => this.#producer.answered(answer));
    for (const worker of this.#workers) worker.on("error", (error) => this.#fail(error));
    // Without this the threads would go on with their work on the current file.
    this.#untilAborted = addAbortListener(signal, () => this.#fail(signal.reason));
  }

  /** Writes a layer. Returns the number of its plain bytes, and what its blob is if a thread read it from a file. */
  async write(
    layer: OpenLayer,
    { root, digest, isHashed }: LayerToWrite,
  ): Promise<{ readonly size: number; readonly blob: FoundBlob | undefined }> {
    Atomics.store(this.shared.words, word.unhashed, isHashed ? 0 : 1);
    const producing = this.#producer.ask({ ...layer.take(), digest });
    this.#producing = producing;
    producing.catch(() => {}); // The writer's answer is awaited first.
    const written = await this.#writer.ask({ kind: "layer", root });
    if (written.kind === "failed") {
      if (isStopped(written.failure)) await this.#throwCause(producing);
      this.#end(); // Nobody reads what the producer would still bring.
      // For example a full disk. The layer's bytes aren't the cause, so they need not be awaited.
      if (written.failure.kind === "other") throw errorOfThread(written.failure);
    }
    const filled = await producing;
    // If both have failed, damaged bytes are the cause of a damaged archive.
    const failed = [filled, written].find(({ kind }) => kind === "failed");
    if (failed?.kind === "failed") {
      if (failed.failure.kind !== "other") await layer.throwIfDamaged(filled.blob);
      throw errorOfThread(failed.failure);
    }
    if (written.kind === "layer") return { size: written.size, blob: filled.blob };
    throw new Error("the writer's thread answers something else than was asked");
  }

  /** @throws what made the writer stop: an abort, a thread that has ended, or the producer's failure */
  async #throwCause(producing: Promise<Exclude<ProducerAnswer, Loaded>>): Promise<void> {
    const filled = await Promise.race([this.#failed.promise, producing]);
    if (filled.kind === "failed") throw errorOfThread(filled.failure);
  }

  /** Waits until everything is written. */
  async finish(root: string): Promise<void> {
    const answer = await this.#writer.ask({ kind: "finish", root });
    if (answer.kind === "failed") throw errorOfThread(answer.failure);
  }

  #fail(error: unknown): void {
    this.#failed.reject(error);
    this.#end();
  }

  /** Makes every waiting thread stop. */
  #end(): void {
    Atomics.store(this.shared.words, word.failed, 1);
    for (const index of [word.wakeWriter, word.wakeProducer]) wake(this.shared, index);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#untilAborted[Symbol.dispose]();
    this.#end();
    await this.#begun;
    // The producer has been told to stop. It closes the layer's descriptor before it is ended.
    await this.#producing?.catch(() => {});
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/** Sends requests to a worker, one at a time. */
class Questions<Question, Answer extends { readonly kind: string }> {
  readonly #worker: Worker;
  /** Rejects when the worker has ended unexpectedly. */
  readonly #gone: Promise<never>;
  #settle: (answer: Exclude<Answer, Loaded>) => void = () => {};

  /** @param failed rejects with the error to throw when the worker has ended */
  constructor(worker: Worker, failed: Promise<never>) {
    this.#worker = worker;
    this.#gone = once(worker, "exit").then(() => failed);
    this.#gone.catch(() => {}); // The error is thrown where an answer is waited for.
  }

  ask(question: Question): Promise<Exclude<Answer, Loaded>> {
    const { promise, resolve } = Promise.withResolvers<Exclude<Answer, Loaded>>();
    this.#settle = resolve;
    this.#worker.postMessage(question);
    return Promise.race([promise, this.#gone]);
  }

  answered(answer: Answer): void {
    if (answer.kind !== "loaded") this.#settle(answer as Exclude<Answer, Loaded>);
  }
}
