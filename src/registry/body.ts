import type { IncomingMessage } from "node:http";
import { AttemptFailure, networkFailure } from "./registry-error.ts";

/**
 * Bytes that must arrive within the stall time. With fewer, the transfer counts as stalled even if the server
 * trickles.
 */
const leastBytes = 16 * 1024;

/**
 * The pieces of a body. Only the time spent waiting for the registry counts as stalling: a reader that unpacks may
 * be slow.
 * @throws AttemptFailure if the connection is cut or stalls (retryable)
 */
export async function* piecesOf(
  body: IncomingMessage,
  { asked, stall }: { asked: string; stall: number },
): AsyncGenerator<Buffer, void, undefined> {
  let waited = 0;
  let bytes = 0;
  try {
    const pieces: AsyncIterator<Buffer> = body[Symbol.asyncIterator]();
    for (;;) {
      const begun = performance.now();
      const timer = setTimeout(() => body.destroy(stalled(asked, stall)), Math.max(1, stall - waited));
      const { value, done = false } = await pieces.next().finally(() => clearTimeout(timer));
      if (done) return;
      waited += performance.now() - begun;
      bytes += value.length;
      if (bytes >= leastBytes) {
        waited = 0;
        bytes = 0;
      }
      yield value;
    }
  } catch (thrown) {
    throw networkFailure(thrown, asked);
  } finally {
    body.destroy();
  }
}

function stalled(asked: string, stall: number): AttemptFailure {
  return new AttemptFailure(`${asked}: almost nothing came within ${stall / 1000} s`, "cut", {
    retryable: true,
  });
}

/**
 * Reads a small body completely.
 * @throws AttemptFailure if it has more than `limit` bytes, with or without a `Content-Length`, is cut or stalls
 */
export async function readAll(
  body: IncomingMessage,
  options: { asked: string; stall: number; limit: number },
): Promise<Buffer> {
  const { asked, limit } = options;
  const tooLong = () => {
    body.destroy();
    return new AttemptFailure(`${asked}: the answer has more than ${limit} bytes`, "other");
  };
  if (Number(body.headers["content-length"] ?? 0) > limit) throw tooLong();
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of piecesOf(body, options)) {
    size += piece.length;
    if (size > limit) throw tooLong();
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
