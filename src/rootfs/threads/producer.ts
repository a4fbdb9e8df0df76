import { readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { compressionFormatOf } from "../../image/compression/formats.ts";
import { UndecompressableError, undecompressableLayer } from "../../image/compression/undecompressable.ts";
import type { Digest } from "../../image/digest.ts";
import type { OpenBytes } from "../layer/open-layer.ts";
import { close } from "../syscalls.ts";
import { describeFailure, type ThreadFailure } from "./failure.ts";
import { distance, type Loaded, type SharedMemory, share, waitUntil, wake, word } from "./ring-buffer.ts";

/** The next layer's bytes, and its digest for messages. This worker closes the descriptor. */
export interface ProducerRequest extends OpenBytes {
  readonly digest: Digest;
}

export type ProducerAnswer =
  | Loaded
  /** All plain bytes of the layer have been in the ring, unless another thread has failed. */
  | { readonly kind: "filled" }
  | { readonly kind: "failed"; readonly failure: ThreadFailure };

/** The most plain bytes to bring before telling the others. Few enough to be still in the processor's cache. */
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

let produced = 0;

function produce({ fd, compression }: OpenBytes): void {
  using reader = compressionFormatOf(compression)?.inThread?.open(fd);
  produceBy((into) => reader?.read(into) ?? readSync(fd, into));
}

/** @param read reads into a buffer and returns the number of bytes, 0 at the end */
function produceBy(read: (into: Buffer) => number): void {
  // Waiting for this much room avoids waking the others for a few bytes.
  while (waitUntil(shared, word.wakeProducer, () => freeBytes() >= filledAtOnce)) {
    const start = produced & (ring.length - 1);
    const length = read(ring.subarray(start, Math.min(start + filledAtOnce, ring.length)));
    if (length === 0) return;
    produced = (produced + length) | 0;
    Atomics.store(words, word.filled, produced);
    wake(shared, word.wakeHasher);
    wake(shared, word.wakeWriter);
  }
}

/** Bytes of the ring that no thread needs any more. */
function freeBytes(): number {
  const unhashed = distance(Atomics.load(words, word.hashed), produced);
  const needed = distance(Atomics.load(words, word.needed), produced);
  return ring.length - Math.max(unhashed, needed);
}

/** Names the layer in errors of its decompression. */
function readingFailure(thrown: unknown, { digest }: ProducerRequest): ThreadFailure {
  const isBroken = thrown instanceof UndecompressableError;
  return describeFailure(isBroken ? undecompressableLayer(digest, thrown.message) : thrown);
}

port.on("message", (request: ProducerRequest) => {
  let failure: ThreadFailure | undefined;
  try {
    produce(request);
  } catch (thrown) {
    failure = readingFailure(thrown, request);
  } finally {
    close(request.fd);
  }
  // The layer ends here, whether complete or not.
  Atomics.add(words, word.ended, 1);
  wake(shared, word.wakeWriter);
  answer(failure === undefined ? { kind: "filled" } : { kind: "failed", failure });
});
