import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, deflateRawSync, gzipSync } from "node:zlib";
import { canReadGzip, GzipReader } from "../../../src/image/compression/gzip-reader.ts";
import { UndecompressableError } from "../../../src/image/compression/undecompressable.ts";
import { randomBytes, randomFrom } from "../../support/runs/random.ts";

const random = randomFrom(3);
const noise = randomBytes(random, 70_000);
const text = Buffer.from("text that can be made shorter\n".repeat(20_000));

interface Sizes {
  /** The most bytes that one reading of the input gives. */
  readonly input: number;
  /** The room for one piece of output. */
  readonly output: number;
}

const roomy: Sizes = { input: 1 << 20, output: 1 << 20 };

/** Decompresses with a reader that gets its input, and room for its output, in pieces. */
function decompressed(bytes: Buffer, { input, output }: Sizes = roomy): Buffer {
  let at = 0;
  using reader = new GzipReader((into) => {
    const count = bytes.copy(into, 0, at, at + input);
    at += count;
    return count;
  });
  const pieces: Buffer[] = [];
  const piece = Buffer.alloc(output);
  for (let made = reader.read(piece); made > 0; made = reader.read(piece))
    pieces.push(Buffer.from(piece.subarray(0, made)));
  return Buffer.concat(pieces);
}

/** A member whose header has every optional field (RFC 1952, 2.3.1). */
function fullHeader(plain: Buffer): Buffer {
  const extra = Buffer.from("AB\x04\x00more");
  const length = Buffer.from([extra.length, 0]);
  const fields = Buffer.concat([length, extra, Buffer.from("name\0comment\0")]);
  const head = Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0b11110, 1, 2, 3, 4, 0, 3]), fields]);
  const trailer = Buffer.alloc(10);
  trailer.writeUInt16LE(crc32(head) & 0xffff, 0);
  const ends = Buffer.alloc(8);
  ends.writeUInt32LE(crc32(plain), 0);
  ends.writeUInt32LE(plain.length, 4);
  return Buffer.concat([head, trailer.subarray(0, 2), deflateRawSync(plain), ends]);
}

const shapes: readonly (readonly [string, Buffer, Buffer])[] = [
  ["nothing at all", Buffer.alloc(0), Buffer.alloc(0)],
  ["an empty member", gzipSync(""), Buffer.alloc(0)],
  ["text", gzipSync(text), text],
  ["noise in stored blocks", gzipSync(noise, { level: 0 }), noise],
  ["fixed codes", gzipSync("ab", { strategy: 4 }), Buffer.from("ab")],
  ["every field of a header", fullHeader(text), text],
  [
    "many members, some of them empty",
    Buffer.concat(
      Array.from({ length: 60 }, (_, at) => [gzipSync(text.subarray(0, at)), gzipSync("")]).flat(),
    ),
    Buffer.concat(Array.from({ length: 60 }, (_, at) => text.subarray(0, at))),
  ],
  ["zeros after the last member", Buffer.concat([gzipSync(noise), Buffer.alloc(600_000)]), noise],
];

test("gzip of every shape is read, in pieces of any size", () => {
  assert.equal(canReadGzip(), true);
  for (const [name, packed, plain] of shapes) {
    for (const sizes of [roomy, { input: 1, output: 4096 }, { input: 1000, output: 7 }])
      assert.ok(decompressed(packed, sizes).equals(plain), `${name}, ${JSON.stringify(sizes)}`);
  }
});

test("gzip that is cut short or followed by something else is refused", () => {
  const packed = Buffer.concat([gzipSync(text.subarray(0, 300)), fullHeader(noise.subarray(0, 50))]);
  const boundary = gzipSync(text.subarray(0, 300)).length;
  for (let end = 1; end < packed.length; end++) {
    if (end === boundary) continue;
    assert.throws(() => decompressed(packed.subarray(0, end)), UndecompressableError, `${end} bytes`);
  }
  for (const more of ["x", "\x1f", "\0\0x", "\x1f\x8b"]) {
    const followed = Buffer.concat([packed, Buffer.from(more, "latin1")]);
    assert.throws(() => decompressed(followed, { input: 1, output: 100 }), UndecompressableError, more);
  }
});

test("a flipped bit in gzip is refused, or is in a field that says nothing about the content", () => {
  const plain = Buffer.concat([text.subarray(0, 200), noise.subarray(0, 100)]);
  const packed = Buffer.concat([gzipSync(plain), fullHeader(plain)]);
  const both = Buffer.concat([plain, plain]);
  let refused = 0;
  for (let bit = 0; bit < packed.length * 8; bit++) {
    const damaged = Buffer.from(packed);
    damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    let read: Buffer;
    try {
      read = decompressed(damaged, { input: 97, output: 128 });
    } catch (thrown) {
      assert.ok(thrown instanceof UndecompressableError, `bit ${bit}: ${String(thrown)}`);
      refused++;
      continue;
    }
    assert.ok(read.equals(both), `bit ${bit}`);
  }
  assert.ok(refused < packed.length * 8);
  assert.ok(refused > packed.length * 7, `${refused} of ${packed.length * 8}`);
});
