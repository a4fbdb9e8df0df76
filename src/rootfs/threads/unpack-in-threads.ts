import { once } from "node:events";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Worker } from "node:worker_threads";
import type { Host } from "../../host/host.ts";
import { checkDiffId, type Layer } from "../layer/layer.ts";
import { openPlain, type PlainLayer, type Programs } from "../layer/open-plain.ts";
import type { Progress } from "../progress.ts";
import { failureOf } from "./failure.ts";
import type { HasherMessage } from "./hasher.ts";
import { allocate, counted, request, type SharedMemory, share, wake, word } from "./shared.ts";
import type { WriterAnswer, WriterData, WriterRequest } from "./writer.ts";

/** What an unpacking is given. */
export interface Unpacking {
  readonly layers: readonly Layer[];
  /** An empty folder. */
  readonly destination: string;
  readonly host: Pick<Host, "env" | "log" | "signal">;
  readonly programs: Programs;
  readonly progress: Progress;
}

/**
 * Unpacks with two threads beside this one, which feeds and verifies, and a process that decompresses. The file
 * calls are synchronous, in a thread that does little else: through Node's pool each costs more than the kernel's
 * own work.
 */
export async function unpackInThreads(options: Unpacking): Promise<void> {
  const { layers, host, progress } = options;
  await using resources = new AsyncDisposableStack();
  const memory = allocate();
  const shared = share(memory);
  const ahead = resources.use(new LayersAhead(options));
  const threads = resources.use(new Threads(options.destination, memory, host));
  progress.watch(() => ({
    entries: shared.progress[counted.entries] ?? 0,
    bytes: shared.progress[counted.bytes] ?? 0,
  }));
  for (const [index, layer] of layers.entries()) {
    progress.startLayer(index);
    await using plain = await ahead.next();
    const size = await threads.write(plain);
    await plain.finished(size);
    checkDiffId(layer, `sha256:${Buffer.from(shared.digest).toString("hex")}`);
  }
  await threads.finish();
}

/** A layer of at most so many bytes is fetched ahead; a larger one's connection would wait for long, and be cut. */
const aheadLimit = 32 * 1024 * 1024;

/** Opens each layer while the one before it is written. */
class LayersAhead implements AsyncDisposable {
  readonly #options: Unpacking;
  readonly #stop = new AbortController();
  #index = 0;
  #opening: Promise<PlainLayer> | undefined;

  constructor(options: Unpacking) {
    const { signal } = options.host;
    const host = { ...options.host, signal: AbortSignal.any([signal, this.#stop.signal]) };
    this.#options = { ...options, host };
    this.#openAhead();
  }

  async next(): Promise<PlainLayer> {
    const opening = this.#opening ?? this.#open();
    this.#opening = undefined;
    const layer = await opening;
    this.#index++;
    this.#openAhead();
    return layer;
  }

  #openAhead(): void {
    const layer = this.#options.layers[this.#index];
    if (layer === undefined || (layer.file === undefined && layer.descriptor.size > aheadLimit)) return;
    this.#opening = this.#open();
    this.#opening.catch(() => {}); // Whoever asks for the layer gets the error.
  }

  #open(): Promise<PlainLayer> {
    const layer = this.#options.layers[this.#index];
    if (layer === undefined) throw new Error("there are no more layers");
    return openPlain(buffered(layer), this.#options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(); // Its bytes may never come, and nobody wants them any more.
    const layer = await this.#opening?.catch(() => undefined);
    await layer?.[Symbol.asyncDispose]();
  }
}

/** The layer with room to read on while nobody takes its bytes. */
function buffered(layer: Layer): Layer {
  const open = async (signal: AbortSignal) => {
    const buffer = new PassThrough({ highWaterMark: Math.min(layer.descriptor.size, aheadLimit) });
    // Its reader gets the error.
    pipeline(await layer.open(signal), buffer).catch(() => {});
    return buffer;
  };
  return layer.file === undefined ? { ...layer, open } : layer;
}

/** The writer's and the hasher's threads. */
class Threads implements AsyncDisposable {
  readonly #shared;
  readonly #writer: Worker;
  readonly #hasher: Worker;
  readonly #failed = Promise.withResolvers<never>();
  /** Either thread has said its first word, or is gone. */
  readonly #begun: Promise<unknown>;
  #answered: (answer: WriterAnswer) => void = () => {};
  /** The writer's thread is gone without being told to. */
  readonly #crashed: Promise<never>;

  constructor(root: string, memory: SharedMemory, { log }: Pick<Host, "log">) {
    this.#shared = share(memory);
    const workerData: WriterData = { memory, root };
    this.#writer = new Worker(new URL("./writer.ts", import.meta.url), { workerData });
    this.#hasher = new Worker(new URL("./hasher.ts", import.meta.url), { workerData: memory });
    const workers = [this.#writer, this.#hasher];
    const begun = workers.map((worker) => Promise.race([once(worker, "message"), once(worker, "exit")]));
    this.#begun = Promise.allSettled(begun);
    this.#crashed = once(this.#writer, "exit").then(() => this.#failed.promise);
    this.#crashed.catch(() => {}); // Whoever waits for the writer gets the error.
    this.#failed.promise.catch(() => {});
    this.#writer.on("message", (answer: WriterAnswer) => {
      if (answer.kind === "warning") log.warn(answer.text);
      else if (answer.kind !== "loaded") this.#answered(answer);
    });
    this.#hasher.on("message", (message: HasherMessage) => {
      if (message.kind === "failed") this.#failed.reject(failureOf(message.failure));
    });
    for (const worker of workers) {
      worker.on("error", (error) => {
        this.#failed.reject(error);
        this.#end();
      });
    }
  }

  /** Writes a layer; answers how many plain bytes it has. Settles when nobody reads its descriptor any more. */
  async write(plain: PlainLayer): Promise<number> {
    const answer = await this.#ask({ layer: plain.fd });
    if (answer.kind === "layer") return answer.size;
    // The hasher's error is the cause when there is one.
    if (Atomics.load(this.#shared.words, word.failed) !== 0) await this.#failed.promise;
    const failure = answer.kind === "failed" ? answer.failure : undefined;
    if (failure === undefined) throw new Error("the writer's thread answers something else than was asked");
    if (failure.kind !== "other") await plain.blamed();
    throw failureOf(failure);
  }

  /** Waits until all is written. */
  async finish(): Promise<void> {
    const answer = await this.#ask({ layer: undefined });
    if (answer.kind === "failed") throw failureOf(answer.failure);
  }

  #ask(question: WriterRequest): Promise<WriterAnswer> {
    const { promise, resolve } = Promise.withResolvers<WriterAnswer>();
    this.#answered = resolve;
    this.#writer.postMessage(question);
    return Promise.race([promise, this.#crashed]);
  }

  /** Ends what either thread waits for. */
  #end(): void {
    Atomics.store(this.#shared.words, word.request, request.end);
    Atomics.store(this.#shared.words, word.failed, 1);
    wake(this.#shared, word.wakeHasher);
    wake(this.#shared, word.wakeWriter);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    await this.#begun;
    await Promise.all([this.#writer.terminate(), this.#hasher.terminate()]);
  }
}
