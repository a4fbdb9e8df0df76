import { UndecompressableError } from "../../image/compression/undecompressable.ts";
import { damagedLayer, undecompressable } from "../../image/damaged-layer.ts";
import type { Digest } from "../../image/digest.ts";
import type { OpenBytes } from "../layer/open-layer.ts";
import { describeFailure, type ThreadFailure } from "./failure.ts";

/** The next layer's bytes for a thread, and its digest for messages. The thread closes the descriptor. */
export interface ProducerRequest extends OpenBytes {
  readonly digest: Digest;
}

/** Names the layer in errors of its decompression. */
export function readingFailure(thrown: unknown, { digest }: ProducerRequest): ThreadFailure {
  const isBroken = thrown instanceof UndecompressableError;
  return describeFailure(isBroken ? damagedLayer(digest, undecompressable(thrown.message)) : thrown);
}
