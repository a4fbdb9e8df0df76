import { readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { UserError } from "../../host/errors.ts";
import { undecompressable } from "../../image/compression/compression.ts";
import { ZstdReader } from "../../image/compression/zstd-reader.ts";
import type { Digest } from "../../image/digest.ts";
import type { OpenBytes } from "../layer/open-layer.ts";
import { close } from "../syscalls.ts";
import { describeFailure, type ThreadFailure } from "./failure.ts";
import { distance, type Loaded, type SharedMemory, share, waitUntil, wake, word } from "./ring-buffer.ts";

/** The next layer's bytes, and the digest by which to call it. This worker closes the descriptor. */
export interface ProducerRequest extends OpenBytes {
  readonly digest: Digest;
}

export type ProducerAnswer =
  | Loaded
  /** All of the layer's plain bytes were in the ring, unless another thread has failed. */
  | { readonly kind: "filled" }
  | { readonly kind: "failed"; readonly failure: ThreadFailure };

/** Plain bytes that are brought at once, at most, and then told to the others: little, so that they are still hot. */
const filledAtOnce = 256 * 1024;

/**
 * Worker: brings the plain bytes of layers into the ring. It decompresses Zstandard on the way, so that none of them
 * goes through a pipe; and apart from the writer, since for large files both have about as much to do.
 */
const shared = share(workerData as SharedMemory);
const { words, ring } = shared;
const port = parentPort;
if (port === null) throw new Error("this is a worker's file");
const answer = (message: ProducerAnswer) => port.postMessage(message);
answer({ kind: "loaded" });

let produced = 0;

function fill({ fd, compression }: OpenBytes): void {
  if (compression === "none") {
    fillBy((into) => readSync(fd, into));
  } else {
    using zstd = new ZstdReader(fd);
    fillBy((into) => zstd.read(into));
  }
}

/** @param read reads into a buffer and answers how many bytes, 0 at the end */
function fillBy(read: (into: Buffer) => number): void {
  // Not for less room, so that nobody is woken for every little bit of it.
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

/** Bytes of the ring that nobody needs any more. */
function freeBytes(): number {
  const unhashed = distance(Atomics.load(words, word.hashed), produced);
  const needed = distance(Atomics.load(words, word.needed), produced);
  return ring.length - Math.max(unhashed, needed);
}

/** What can't be decompressed is told as such. */
function readingFailure(thrown: unknown, { digest }: ProducerRequest): ThreadFailure {
  return describeFailure(thrown instanceof UserError ? undecompressable(digest, thrown.message) : thrown);
}

port.on("message", (request: ProducerRequest) => {
  let failure: ThreadFailure | undefined;
  try {
    fill(request);
  } catch (thrown) {
    failure = readingFailure(thrown, request);
  } finally {
    close(request.fd);
  }
  // What there is of the layer ends, whole or not.
  Atomics.add(words, word.ended, 1);
  wake(shared, word.wakeWriter);
  answer(failure === undefined ? { kind: "filled" } : { kind: "failed", failure });
});
