import { parentPort } from "node:worker_threads";
import { Sha256 } from "../../image/sha256.ts";
import type { FoundBlob } from "../../image/verify.ts";
import { describeFailure, type ThreadFailure } from "./failure.ts";
import { LayerReader } from "./layer-reader.ts";
import { type ProducerRequest, readingFailure } from "./producer-request.ts";

export type PlainHasherAnswer = {
  /** What the blob is, if this thread has read it from a file. */
  readonly blob: FoundBlob | undefined;
} & (
  | { readonly kind: "hashed"; readonly digest: string; readonly size: number }
  | { readonly kind: "failed"; readonly failure: ThreadFailure }
);

/**
 * Worker: computes the digest of a layer's plain bytes, and of the blob itself. It decompresses what a thread can
 * decompress, and closes the descriptor.
 */
const port = parentPort;
if (port === null) throw new Error("this file must run as a worker");

/** Few enough bytes to be in the processor's cache still when they are hashed. */
const piece = Buffer.allocUnsafeSlow(256 * 1024);

function answer(request: ProducerRequest): PlainHasherAnswer {
  try {
    using reader = new LayerReader(request);
    const isPlainFile = request.compression === "none" && request.file !== undefined;
    const blob = isPlainFile ? reader.finish() : undefined;
    if (blob !== undefined) return { kind: "hashed", ...blob, blob };
    const plain = plainDigestOf(reader, request);
    return { ...plain, blob: reader.finish() };
  } catch (thrown) {
    return { kind: "failed", failure: describeFailure(thrown), blob: undefined };
  }
}

function plainDigestOf(reader: LayerReader, request: ProducerRequest) {
  const sum = new Sha256();
  sum.begin();
  let size = 0;
  try {
    for (;;) {
      const length = reader.read(piece);
      if (length === 0)
        return { kind: "hashed", digest: `sha256:${sum.end().toString("hex")}`, size } as const;
      sum.add(piece.subarray(0, length));
      size += length;
    }
  } catch (thrown) {
    return { kind: "failed", failure: readingFailure(thrown, request) } as const;
  }
}

port.on("message", (request: ProducerRequest) => port.postMessage(answer(request)));
