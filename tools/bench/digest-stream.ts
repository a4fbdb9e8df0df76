import { createHash } from "node:crypto";
import { Transform } from "node:stream";
import type { Digest } from "../../src/image/digest.ts";

/** A stream that hands bytes on, and can tell their digest and number once it has ended. */
export function digestStream(): { stream: Transform; result: () => { digest: Digest; size: number } } {
  const hash = createHash("sha256");
  let size = 0;
  const stream = new Transform({
    highWaterMark: 1 << 20,
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  return { stream, result: () => ({ digest: `sha256:${hash.digest("hex")}` as Digest, size }) };
}
