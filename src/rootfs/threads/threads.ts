import { addAbortListener, once } from "node:events";
import { Worker } from "node:worker_threads";
import type { StepContext } from "../../host/step-context.ts";
import type { Digest } from "../../image/digest.ts";
import type { OpenLayer } from "../layer/open-layer.ts";
import { errorOfThread } from "./failure.ts";
import type { HasherMessage } from "./hasher.ts";
import type { ProducerAnswer, ProducerRequest } from "./producer.ts";
import { type Loaded, request, type Shared, type SharedMemory, share, wake, word } from "./ring-buffer.ts";
import type { WriterAnswer, WriterData, WriterRequest } from "./writer.ts";

/** The threads of an unpacking: what each does is said at {@link Shared}. */
export class Threads implements AsyncDisposable {
  readonly #shared: Shared;
  readonly #workers: readonly Worker[];
  readonly #filler: Questions<ProducerRequest, ProducerAnswer>;
  readonly #writer: Questions<WriterRequest, Exclude<WriterAnswer, { kind: "warning" }>>;
  readonly #failed = Promise.withResolvers<never>();
  /** Each thread has said its first word, or is gone. */
  readonly #begun: Promise<unknown>;
  #filling: Promise<unknown> | undefined;
  readonly #untilAborted: Disposable;

  /** @param root the folder to write to */
  constructor(root: string, memory: SharedMemory, { log, signal }: Pick<StepContext, "log" | "signal">) {
    this.#shared = share(memory);
    const workerData: WriterData = { memory, root };
    const filler = new Worker(new URL("./producer.ts", import.meta.url), { workerData: memory });
    const writer = new Worker(new URL("./writer.ts", import.meta.url), { workerData });
    const hasher = new Worker(new URL("./hasher.ts", import.meta.url), { workerData: memory });
    this.#workers = [filler, writer, hasher];
    const begun = this.#workers.map((worker) =>
      Promise.race([once(worker, "message"), once(worker, "exit")]),
    );
    this.#begun = Promise.allSettled(begun);
    this.#failed.promise.catch(() => {}); // Whoever waits for a thread gets the error.
    this.#filler = new Questions(filler, this.#failed.promise);
    this.#writer = new Questions(writer, this.#failed.promise);
    writer.on("message", (answer: WriterAnswer) => {
      if (answer.kind === "warning") log.warn(answer.text);
      else this.#writer.answered(answer);
    });
    filler.on("message", (answer: ProducerAnswer) => this.#filler.answered(answer));
    hasher.on("message", (message: HasherMessage) => {
      if (message.kind === "failed") this.#failed.reject(errorOfThread(message.failure));
    });
    for (const worker of this.#workers) worker.on("error", (error) => this.#fail(error));
    // A file's bytes go on coming, so nothing else would end the threads' work on it.
    this.#untilAborted = addAbortListener(signal, () => this.#fail(signal.reason));
  }

  /** Writes a layer; answers how many plain bytes it has. */
  async write(layer: OpenLayer, digest: Digest): Promise<number> {
    const filling = this.#filler.ask({ ...layer.take(), digest });
    this.#filling = filling;
    filling.catch(() => {}); // The writer's answer comes first.
    const written = await this.#writer.ask("layer");
    if (written.kind === "failed") {
      // What made the others fail is the cause.
      if (Atomics.load(this.#shared.words, word.failed) !== 0) await this.#failed.promise;
      this.#end(); // Nobody takes what the filler would still bring.
      // Such as a full disk: no byte of the layer is to blame, so none is waited for.
      if (written.failure.kind === "other") throw errorOfThread(written.failure);
    }
    const filled = await filling;
    // What was wrong with the bytes is the cause of what is wrong with the archive.
    const failed = [filled, written].find(({ kind }) => kind === "failed");
    if (failed?.kind === "failed") {
      if (failed.failure.kind !== "other") await layer.throwIfDamaged();
      throw errorOfThread(failed.failure);
    }
    if (written.kind === "layer") return written.size;
    throw new Error("the writer's thread answers something else than was asked");
  }

  /** Waits until all is written. */
  async finish(): Promise<void> {
    const answer = await this.#writer.ask("finish");
    if (answer.kind === "failed") throw errorOfThread(answer.failure);
  }

  #fail(error: unknown): void {
    this.#failed.reject(error);
    this.#end();
  }

  /** Ends what any thread waits for. */
  #end(): void {
    Atomics.store(this.#shared.words, word.request, request.end);
    Atomics.store(this.#shared.words, word.failed, 1);
    for (const index of [word.wakeHasher, word.wakeWriter, word.wakeProducer]) wake(this.#shared, index);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#untilAborted[Symbol.dispose]();
    this.#end();
    await this.#begun;
    // By now its layer is stopped, so that it comes to an end, and closes what it reads.
    await this.#filling?.catch(() => {});
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/** Puts questions to a worker, one at a time. */
class Questions<Question, Answer extends { readonly kind: string }> {
  readonly #worker: Worker;
  /** Rejects when the worker is gone without being told to. */
  readonly #gone: Promise<never>;
  #settle: (answer: Exclude<Answer, Loaded>) => void = () => {};

  /** @param failed what to reject with when the worker is gone */
  constructor(worker: Worker, failed: Promise<never>) {
    this.#worker = worker;
    this.#gone = once(worker, "exit").then(() => failed);
    this.#gone.catch(() => {}); // Whoever asks gets the error.
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
