import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Host } from "../../host/host.ts";
import type { Decompressors } from "../layer/decompressors.ts";
import { checkDiffId, type Layer } from "../layer/layer.ts";
import { type OpenLayer, openLayer } from "../layer/open-layer.ts";
import type { Progress } from "../progress.ts";
import { allocate, counted, share } from "./shared.ts";
import { Threads } from "./threads.ts";

/** What an unpacking is given. */
export interface Unpacking {
  readonly layers: readonly Layer[];
  /** An empty folder. */
  readonly destination: string;
  readonly host: Pick<Host, "env" | "log" | "signal">;
  readonly decompressors: Decompressors;
  readonly progress: Progress;
}

/**
 * Unpacks with three threads beside this one, which feeds and verifies, and for gzip a process that decompresses. The
 * file calls are synchronous, in a thread that does little else: through Node's pool each costs more than the
 * kernel's own work.
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
    await using open = await ahead.next();
    const size = await threads.write(open, layer.descriptor.digest);
    await open.finished(size);
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
  #opening: Promise<OpenLayer> | undefined;

  constructor(options: Unpacking) {
    const { signal } = options.host;
    const host = { ...options.host, signal: AbortSignal.any([signal, this.#stop.signal]) };
    this.#options = { ...options, host };
    this.#openAhead();
  }

  async next(): Promise<OpenLayer> {
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

  #open(): Promise<OpenLayer> {
    const layer = this.#options.layers[this.#index];
    if (layer === undefined) throw new Error("there are no more layers");
    return openLayer(buffered(layer), this.#options);
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
