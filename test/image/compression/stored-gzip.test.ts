import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { storedGzip, storedGzipSize } from "../../../src/image/compression/stored-gzip.ts";
import { randomBytes, randomFrom } from "../../support/runs/random.ts";

async function* inPieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

test("gzip that compresses nothing has the length that was foretold, and gives back the same bytes", async () => {
  for (const size of [0, 1, 65_534, 65_535, 65_536, 131_070, 131_071, 300_000]) {
    const plain = randomBytes(randomFrom(size), size);
    for (const piece of [1000, 65_535, 1_000_000]) {
      const made: Uint8Array[] = [];
      for await (const part of storedGzip(inPieces(plain, piece), size)) made.push(part);
      const bytes = Buffer.concat(made);
      assert.equal(bytes.length, storedGzipSize(size));
      assert.ok(gunzipSync(bytes).equals(plain), `${size} bytes in pieces of ${piece}`);
    }
  }
});
