import { parentPort, workerData } from "node:worker_threads";
import type { FoundBlob } from "../../image/verify.ts";
import { readDefaults } from "../attributes.ts";
import { describeFailure, type ThreadFailure } from "./failure.ts";
import { LayerReader } from "./layer-reader.ts";
import { type ProducerRequest, readingFailure } from "./producer-request.ts";
import { distance, type Loaded, type SharedMemory, share, wake, word } from "./ring-buffer.ts";
import { SpareWork } from "./spare-work.ts";

export type ProducerAnswer =
  | Loaded
  /**
   * `filled`: all plain bytes of the layer have been in the ring, unless another thread has failed. `blob`: what the
   * blob is, if this thread has read it from a file.
   */
  | { readonly kind: "filled"; readonly blob: FoundBlob | undefined }
  | { readonly kind: "failed"; readonly failure: ThreadFailure; readonly blob: FoundBlob | undefined };

/** The most plain bytes to bring before telling the writer. Few enough to be still in the processor's cache. */
const filledAtOnce = 256 * 1024;

/**
 * Worker: brings the plain bytes of layers into the ring. It decompresses them itself where the library is there, so
 * they go through no pipe. It is a thread of its own because for large files it has about as much to do as the writer.
 */
const shared = share(workerData as SharedMemory);
const { words, ring } = shared;
const port = parentPort;
if (port === null) throw new Error("this is a worker's file");
const answer = (message: ProducerAnswer) => port.postMessage(message);
answer({ kind: "loaded" });
const spareWork = new SpareWork(shared, { defaults: readDefaults(), wakes: "writer" });

let produced = 0;

function produce(reader: LayerReader): void {
  // Waiting for this much room avoids waking the writer for a few bytes.
  while (spareWork.waitUntil(word.wakeProducer, () => freeBytes() >= filledAtOnce)) {
    const start = produced & (ring.length - 1);
    const length = reader.read(ring.subarray(start, Math.min(start + filledAtOnce, ring.length)));
    if (length === 0) return;
    produced = (produced + length) | 0;
    Atomics.store(words, word.filled, produced);
    if (Atomics.load(words, word.unhashed) !== 0) Atomics.store(words, word.hashed, produced);
    wake(shared, word.wakeWriter);
  }
}

/** Bytes of the ring that no thread needs any more. */
function freeBytes(): number {
  const unhashed = distance(Atomics.load(words, word.hashed), produced);
  const needed = distance(Atomics.load(words, word.needed), produced);
  return ring.length - Math.max(unhashed, needed);
}

function produceLayer(request: ProducerRequest): ProducerAnswer {
  let failure: ThreadFailure | undefined;
  try {
    using reader = new LayerReader(request);
    try {
      produce(reader);
    } catch (thrown) {
      failure = readingFailure(thrown, request);
    }
    // For example a full disk, when the producer made a small file. The blob isn't the cause, so it need not be read on.
    const blob = failure?.kind === "other" ? undefined : reader.finish();
    return failure === undefined ? { kind: "filled", blob } : { kind: "failed", failure, blob };
  } catch (thrown) {
    return { kind: "failed", failure: describeFailure(thrown), blob: undefined };
  } finally {
    // The layer ends here, whether complete or not.
    Atomics.add(words, word.ended, 1);
    wake(shared, word.wakeWriter);
  }
}

port.on("message", (request: ProducerRequest) => answer(produceLayer(request)));
