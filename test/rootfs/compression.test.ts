import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { UserError } from "../../src/host/errors.ts";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { type Decompressors, findDecompressors } from "../../src/image/compression/decompressors.ts";
import { type DiffId, digestOf } from "../../src/image/digest.ts";
import type { Layer } from "../../src/rootfs/unpack.ts";
import { holding, layerOf, type Unpacked, unpack } from "../support/images/unpacking.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import { createTestStep } from "../support/runs/test-step.ts";
import { file } from "../support/tar/members.ts";
import { rawTar } from "../support/tar/raw-tar.ts";

const tar = rawTar([file("a", "content"), { ...file("b"), content: randomBytes(randomFrom(1), 20_000) }]);
const [head, tail] = [tar.subarray(0, 9000), tar.subarray(9000)];
const zeros = Buffer.alloc(700);
/** Frames of other data, which readers skip (RFC 8878, 3.1.2). */
const skippable = Buffer.from("502a4d1803000000616263", "hex");

const all = findDecompressors(createTestStep().env);
const programsAlone: Decompressors = { ...all, inThread: new Set() };
const none: Decompressors = { programs: new Map(), inThread: new Set() };

/**
 * Each way by which a layer's bytes are read: streamed or from a file; decompressed by a thread, by programs, or by
 * Node's streams.
 */
async function eachWay(layer: Layer, check: (unpacked: Unpacked) => void): Promise<void> {
  await using place = await createPrivateFolder("test-blob");
  const path = join(place.path, "blob");
  const chunks: Buffer[] = [];
  for await (const chunk of await layer.open(AbortSignal.any([]))) chunks.push(chunk);
  writeFileSync(path, Buffer.concat(chunks));
  await using here = await unpack([layer], "in one thread");
  check(here);
  for (const decompressors of [all, programsAlone, none]) {
    for (const chosen of [layer, { ...layer, file: path }]) {
      await using unpacked = await unpack([chosen], "in several threads", decompressors);
      check(unpacked);
    }
  }
}

/** A frame of Zstandard that holds a block as it is, and asks for a window of so many bytes (RFC 8878, 3.1.1). */
function frameOfWindow(log: number, content: Buffer): Buffer {
  const block = Buffer.alloc(3);
  block.writeUIntLE((content.length << 3) | 1, 0, 3);
  return Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3), block, content]);
}

test("libisal and the libzstd of Node can be called, and programs are only found in absolute folders", () => {
  assert.deepEqual([...all.inThread], ["gzip", "zstd"]);
  assert.deepEqual([...all.programs.keys()], ["gzip", "zstd"]);
  assert.equal(findDecompressors({ PATH: ":.:bin:usr/bin" }).programs.size, 0);
});

const whole: readonly (readonly [string, Buffer])[] = [
  ["a plain archive", tar],
  ["gzip", gzipSync(tar)],
  ["zstd, though its type says gzip", zstdCompressSync(tar)],
  ["several members of gzip", Buffer.concat([gzipSync(head), gzipSync(tail), gzipSync("")])],
  [
    "several frames of zstd",
    Buffer.concat([skippable, zstdCompressSync(head), skippable, zstdCompressSync(tail), skippable]),
  ],
  [
    "many small frames of zstd, some of them empty",
    Buffer.concat(
      Array.from({ length: 100 }, (_, at) => [
        zstdCompressSync(tar.subarray(at * 300, (at + 1) * 300)),
        zstdCompressSync(""),
      ]).flat(),
    ),
  ],
  // What `zstd --long=29` makes of a stream, and the most that Go's reader takes.
  ["zstd with a window of 512 MiB", frameOfWindow(29, tar)],
  ["gzip with zeros after it", Buffer.concat([gzipSync(tar), zeros])],
];

for (const [what, blob] of whole) {
  test(`a layer is read that is ${what}`, async () => {
    await eachWay(layerOf(tar, blob), ({ root, error }) => {
      assert.equal(error, undefined);
      const held = holding(root);
      assert.deepEqual(Object.keys(held), ["a", "b"]);
      assert.equal(held["a"], "content");
    });
  });
}

/** A blob with one byte changed. */
function flipped(blob: Buffer, at: number): Buffer {
  const copy = Buffer.from(blob);
  copy[at] = (copy[at] as number) ^ 0x10;
  return copy;
}

const good = layerOf(tar, gzipSync(tar));
const blob = gzipSync(tar);
const other = gzipSync(rawTar([file("a", "other")]));
/** With a checksum over its content. */
const checked = zstdCompressSync(tar, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
const broken = /zstandard|can't be decompressed/i;
/** Layers whose own bytes are not what they should be, their descriptors as good as can be. */
const damaged: readonly (readonly [string, Layer, RegExp])[] = [
  [
    "other bytes than its descriptor says",
    { ...layerOf(tar, other), descriptor: good.descriptor },
    /it (ends after|is longer than)/,
  ],
  [
    "fewer bytes than its descriptor says",
    { ...layerOf(tar, blob.subarray(0, -5)), descriptor: good.descriptor },
    /ends after/,
  ],
  [
    "more bytes than its descriptor says",
    { ...layerOf(tar, Buffer.concat([blob, zeros])), descriptor: good.descriptor },
    /is longer than/,
  ],
  [
    "one bit off",
    { ...layerOf(tar, flipped(blob, blob.length >> 1)), descriptor: good.descriptor },
    /its bytes have digest|can't be decompressed/,
  ],
  [
    "one bit off after the archive's end",
    { ...layerOf(tar, flipped(tar, tar.length - 1)), descriptor: layerOf(tar).descriptor },
    /its bytes have digest/,
  ],
  [
    "another archive than its diff ID says",
    { ...good, diffId: digestOf(other) as DiffId },
    /the image's config says sha256:[0-9a-f]{64}\. The image was damaged, or built from a damaged base: build the image again; if that doesn't help, rebuild its base or name another in FROM/,
  ],
  [
    "an archive with other bytes after its end than its diff ID says",
    { ...layerOf(Buffer.concat([tar, Buffer.of(1)])), diffId: digestOf(tar) as DiffId },
    /the image's config says/,
  ],
  ["gzip that is cut", layerOf(tar, blob.subarray(0, -10)), /can't be decompressed/],
  ["gzip that is cut in its header", layerOf(tar, blob.subarray(0, 6)), /can't be decompressed/],
  ["gzip with a wrong checksum", layerOf(tar, flipped(blob, blob.length - 6)), /can't be decompressed/],
  [
    "gzip with something after it",
    layerOf(tar, Buffer.concat([blob, Buffer.from("garbage")])),
    /something else follows|can't be decompressed/,
  ],
  [
    "gzip with something after zeros",
    layerOf(tar, Buffer.concat([blob, zeros, Buffer.from("garbage")])),
    /something else follows|can't be decompressed/,
  ],
  [
    "gzip with something that begins like gzip after it",
    layerOf(tar, Buffer.concat([blob, Buffer.of(0x1f, 0x8b, 9)])),
    /can't be decompressed|something else follows/,
  ],
  ["zstd that is cut", layerOf(tar, zstdCompressSync(tar).subarray(0, -10)), broken],
  [
    "zstd that is cut at a block's end",
    layerOf(tar, frameOfWindow(20, tar).subarray(0, -tar.length)),
    broken,
  ],
  [
    "zstd that is cut in its second frame's header",
    layerOf(tar, Buffer.concat([zstdCompressSync(tar), zstdCompressSync("").subarray(0, 3)])),
    broken,
  ],
  [
    "zstd that is cut in a skippable frame",
    layerOf(tar, Buffer.concat([zstdCompressSync(tar), skippable.subarray(0, -1)])),
    broken,
  ],
  ["zstd with zeros after it", layerOf(tar, Buffer.concat([zstdCompressSync(tar), zeros])), broken],
  [
    "zstd with a frame of an older format after it",
    layerOf(tar, Buffer.concat([zstdCompressSync(tar), Buffer.from("27b52ffd0058000000c00000", "hex")])),
    broken,
  ],
  ["zstd with a wrong checksum", layerOf(tar, flipped(checked, checked.length - 2)), broken],
  [
    "zstd with a window of over 512 MiB",
    layerOf(tar, frameOfWindow(30, tar)),
    /its Zstandard has a window of over 512 MiB, which BuildKit, Docker and podman don't read either/,
  ],
  [
    "zstd with something after it",
    layerOf(tar, Buffer.concat([zstdCompressSync(tar), Buffer.from("garbage")])),
    broken,
  ],
  ["no archive", layerOf(Buffer.from("x".repeat(2000))), /not a valid tar archive/],
];

for (const [what, layer, message] of damaged) {
  test(`a layer is refused that is ${what}`, async () => {
    await eachWay(layer, ({ way, error }) => {
      assert.ok(
        error instanceof UserError,
        `${way}: ${error instanceof Error ? error.stack : String(error)}`,
      );
      assert.match(error.message, message);
    });
  });
}
