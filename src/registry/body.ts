import type { IncomingMessage } from "node:http";
import { sum } from "../host/sum.ts";
import { AttemptFailure, networkFailure } from "./registry-error.ts";

/**
 * Bytes that must arrive within the stall time. With fewer, the transfer counts as stalled even if the server
 * trickles.
 */
const leastBytes = 16 * 1024;

/** Bytes of a body to gather before its connection is told to wait. */
const gatheredAtMost = 256 * 1024;

/**
 * The pieces of a body, all that have come at a time. Only the time spent waiting for the registry counts as stalling:
 * a reader that unpacks may be slow.
 * @throws AttemptFailure if the connection is cut or stalls (retryable)
 */
export async function* piecesOf(
  body: IncomingMessage,
  { asked, stall }: { asked: string; stall: number },
): AsyncGenerator<readonly Buffer[], void, undefined> {
  let waited = 0;
  let bytes = 0;
  try {
    const coming = new ComingPieces(body);
    for (;;) {
      const begun = performance.now();
      const timer = setTimeout(() => body.destroy(stalled(asked, stall)), Math.max(1, stall - waited));
      const pieces = await coming.take().finally(() => clearTimeout(timer));
      if (pieces.length === 0) return;
      waited += performance.now() - begun;
      bytes += sum(pieces.map(({ length }) => length));
      if (bytes >= leastBytes) {
        waited = 0;
        bytes = 0;
      }
      yield pieces;
    }
  } catch (thrown) {
    throw networkFailure(thrown, asked);
  } finally {
    body.destroy();
  }
}

/**
 * Gathers the pieces of a body as they come. With a stream's own iterator each piece of at most 64 KB would take several
 * turns of promises, which together take as long as receiving the bytes.
 */
class ComingPieces {
  readonly #body: IncomingMessage;
  #pieces: Buffer[] = [];
  #size = 0;
  #ended: { readonly failure?: unknown } | undefined;
  #more = Promise.withResolvers<void>();
  #isTold = false;

  constructor(body: IncomingMessage) {
    this.#body = body;
    body.on("end", () => this.#end({}));
    body.on("error", (failure) => this.#end({ failure }));
    body.on("close", () => this.#end({ failure: cutShort() }));
    body.on("data", (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#size += piece.length;
      if (this.#size >= gatheredAtMost) body.pause();
      if (this.#isTold) return;
      this.#isTold = true;
      // What has arrived meanwhile is read from the socket first.
      setImmediate(() => {
        this.#isTold = false;
        this.#more.resolve();
      });
    });
  }

  /** Waits for pieces; none at the end. @throws the failure if there was one */
  async take(): Promise<readonly Buffer[]> {
    while (this.#pieces.length === 0 && this.#ended === undefined) {
      this.#more = Promise.withResolvers();
      await this.#more.promise;
    }
    const pieces = this.#pieces;
    if (pieces.length === 0 && this.#ended !== undefined && "failure" in this.#ended)
      throw this.#ended.failure;
    this.#pieces = [];
    this.#size = 0;
    this.#body.resume();
    return pieces;
  }

  #end(ended: { readonly failure?: unknown }): void {
    this.#ended ??= ended;
    this.#more.resolve();
  }
}

/** As Node's streams report it. */
function cutShort(): Error {
  return Object.assign(new Error("the connection was closed"), { code: "ERR_STREAM_PREMATURE_CLOSE" });
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
  const read: Buffer[] = [];
  let size = 0;
  for await (const pieces of piecesOf(body, options)) {
    size += sum(pieces.map(({ length }) => length));
    if (size > limit) throw tooLong();
    read.push(...pieces);
  }
  return Buffer.concat(read);
}
