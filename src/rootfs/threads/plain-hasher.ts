import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { compressionFormatOf } from "../../image/compression/formats.ts";
import { UndecompressableError, undecompressableLayer } from "../../image/compression/undecompressable.ts";
import { close } from "../syscalls.ts";
import { describeFailure, type ThreadFailure } from "./failure.ts";
import type { ProducerRequest } from "./producer.ts";

export type PlainHasherAnswer =
  | { readonly kind: "hashed"; readonly digest: string; readonly size: number }
  | { readonly kind: "failed"; readonly failure: ThreadFailure };

/**
 * Worker: computes the digest of a layer's plain bytes. It decompresses itself what a thread can decompress, and
 * closes the descriptor.
 */
const port = parentPort;
if (port === null) throw new Error("this file must run as a worker");

const piece = Buffer.allocUnsafeSlow(256 * 1024);

function plainDigestOf({ fd, compression }: ProducerRequest): PlainHasherAnswer {
  using reader = compressionFormatOf(compression)?.inThread?.open(fd);
  const sum = createHash("sha256");
  let size = 0;
  for (;;) {
    const length = reader?.read(piece) ?? readSync(fd, piece);
    if (length === 0) return { kind: "hashed", digest: `sha256:${sum.digest("hex")}`, size };
    sum.update(piece.subarray(0, length));
    size += length;
  }
}

function answer(request: ProducerRequest): PlainHasherAnswer {
  try {
    return plainDigestOf(request);
  } catch (thrown) {
    const isBroken = thrown instanceof UndecompressableError;
    const failure = isBroken ? undecompressableLayer(request.digest, thrown.message) : thrown;
    return { kind: "failed", failure: describeFailure(failure) };
  } finally {
    close(request.fd);
  }
}

port.on("message", (request: ProducerRequest) => port.postMessage(answer(request)));
