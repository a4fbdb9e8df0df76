import type { Descriptor } from "../image/descriptor.ts";
import { piecesOf } from "./body.ts";
import type { Answer, RegistryClient } from "./client.ts";
import { AttemptFailure } from "./registry-error.ts";

/**
 * Bytes that an attempt must receive to count as progress. With fewer the retry time isn't reset, so that a server
 * that trickles doesn't extend it for ever.
 */
const progressBytes = 256 * 1024;

/**
 * The bytes of a blob, not verified, in pieces: all that have come at a time. A transfer that is cut or stalls is
 * resumed where it stopped (`Range`). If the server then sends the whole blob again, the bytes already received are
 * skipped. Ends where the registry ends the blob, even if that is short of `size`.
 * @throws RegistryError if the blob can't be downloaded
 */
export async function* download(
  client: RegistryClient,
  { digest, size }: Pick<Descriptor, "digest" | "size">,
  signal: AbortSignal,
): AsyncGenerator<readonly Buffer[], void, undefined> {
  const attempts = client.retrier.begin(signal);
  let received = 0;
  for (;;) {
    const before = received;
    try {
      const answer = await ask(client, digest, received, signal);
      if (answer === undefined) return;
      let skip = answer.status === 206 ? 0 : received;
      const { asked } = answer;
      for await (const pieces of piecesOf(answer.body, { asked, stall: client.timeouts.stall })) {
        const rest: Buffer[] = [];
        for (const piece of pieces) {
          const skipped = Math.min(skip, piece.length);
          skip -= skipped;
          if (skipped < piece.length) rest.push(piece.subarray(skipped));
          received += piece.length - skipped;
        }
        if (received - before > progressBytes) attempts.progress();
        if (rest.length > 0) yield rest;
      }
      // A body of unknown length ends the same way when it is complete and when the connection is cut.
      if (received >= size || received === before) return;
      throw new AttemptFailure(`${asked}: the answer ends after ${received} of ${size} bytes`, "cut", {
        retryable: true,
      });
    } catch (thrown) {
      await attempts.failed(thrown);
    }
  }
}

/** Requests the rest of a blob. Undefined if the registry answers that nothing follows. */
async function ask(
  client: RegistryClient,
  digest: string,
  received: number,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  const headers: Record<string, string> = received === 0 ? {} : { range: `bytes=${received}-` };
  const request = { method: "GET", path: `blobs/${digest}`, headers, expected: [200, 206, 416] } as const;
  const answer = await client.attempt(request, signal);
  const { status, asked } = answer;
  const from = /^bytes (\d+)-/.exec(answer.headers["content-range"] ?? "")?.[1];
  if (status === 200 || (status === 206 && received > 0 && from === String(received))) return answer;
  answer.body.destroy();
  if (status === 416 && received > 0) return undefined;
  throw new AttemptFailure(
    `${asked} was answered with ${status}, bytes ${from ?? "?"}-; asked for ${received}-`,
    "other",
  );
}
