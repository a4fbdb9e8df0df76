import assert from "node:assert/strict";
import { existsSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { type Layer, unpackRootfs } from "../../src/rootfs/unpack.ts";
import { layerOf } from "../support/images/unpacking.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import { createTestStep } from "../support/runs/test-step.ts";
import { file, folder, symlink } from "../support/tar/members.ts";
import { rawHeader, rawTar } from "../support/tar/raw-tar.ts";

const neverComing = async () => new Readable({ read() {} });

/** A layer of Zstandard in a file, whose 4 GB of zeros nobody waits for. */
function endlessLayer(path: string): Layer {
  const frames = zstdCompressSync(Buffer.alloc(2 ** 24));
  const header = zstdCompressSync(rawHeader({ flag: "0", path: "zeros", size: 2 ** 32 }));
  // A skippable frame (RFC 8878, 3.1.2) makes it large enough for threads.
  const skipped = Buffer.alloc(1_200_000);
  skipped.writeUInt32LE(0x184d2a50, 0);
  skipped.writeUInt32LE(skipped.length - 8, 4);
  const blob = Buffer.concat([header, ...Array.from({ length: 2 ** 8 }, () => frames), skipped]);
  writeFileSync(path, blob);
  return { ...layerOf(blob), file: path };
}

// Without an end to it, each of the large layers would be written whole.
test("an abort at any moment of a start ends the unpacking, and not the process", {
  timeout: 120_000,
}, async () => {
  await using place = await createPrivateFolder("test-unpack");
  // Large enough for threads, whose start takes some tens of milliseconds.
  const layer = layerOf(rawTar([file("a", "x".repeat(3_000_000))]));
  const layers = [{ ...layer, open: neverComing }, endlessLayer(join(place.path, "blob"))];
  for (let delay = 0; delay < 200; delay += 3) {
    const step = createTestStep();
    const destination = join(place.path, "rootfs");
    const unpacking = unpackRootfs({ layers: layers.slice(delay % 2).slice(0, 1), destination, step });
    setTimeout(() => step.abort(), delay);
    await assert.rejects(unpacking, { name: "AbortError" });
    assert.ok(!existsSync(destination));
  }
});

test("an abort in the middle ends the unpacking and removes what is there", async () => {
  for (const size of [1000, 3_000_000]) {
    await using place = await createPrivateFolder("test-unpack");
    const step = createTestStep();
    const layer = layerOf(rawTar([file("a", "x".repeat(size))]));
    const open = async () => {
      step.abort();
      return new Readable({ read() {} });
    };
    const root = join(place.path, "rootfs");
    const unpacking = unpackRootfs({ layers: [{ ...layer, open }], destination: root, step });
    await assert.rejects(unpacking, { name: "AbortError" });
    assert.ok(!existsSync(root));
  }
});

test("an abort ends the unpacking of Zstandard whose next bytes don't come", async () => {
  await using place = await createPrivateFolder("test-unpack");
  const step = createTestStep();
  const tar = rawTar([{ flag: "0", path: "a", content: randomBytes(randomFrom(1), 3_000_000) }]);
  const blob = zstdCompressSync(tar);
  let given = 0;
  const open = async () =>
    new Readable({
      read() {
        if (given++ === 0) this.push(blob.subarray(0, 2_000_000));
        else step.abort();
      },
    });
  const root = join(place.path, "rootfs");
  const unpacking = unpackRootfs({ layers: [{ ...layerOf(tar, blob), open }], destination: root, step });
  await assert.rejects(unpacking, { name: "AbortError" });
  assert.ok(!existsSync(root));
});

/** Small when compressed, and much work: so many files behind links that lead to each other by long ways. */
function filesBehindLinks(files: number, links = 39): Layer {
  const members = Array.from({ length: links }, (_, at) =>
    symlink(`l${at}`, "./".repeat(1990) + (at === links - 1 ? "d" : `l${at + 1}`)),
  );
  const many = Array.from({ length: files }, (_, at) => file(`${links === 0 ? "d" : "l0"}/${at}`, ""));
  const tar = rawTar([folder("d"), ...members, ...many]);
  return layerOf(tar, gzipSync(tar));
}

/** Microseconds of processors that it takes to unpack ten thousand files. */
async function workOf(layer: Layer): Promise<number> {
  await using place = await createPrivateFolder("test-unpack");
  const before = process.cpuUsage();
  await unpackRootfs({ layers: [layer], destination: join(place.path, "rootfs"), step: createTestStep() });
  assert.ok(existsSync(join(place.path, "rootfs/d/9999")));
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

test("what is behind many links takes no longer for each file", { timeout: 120_000 }, async () => {
  const plain = await workOf(filesBehindLinks(10_000, 0));
  // To follow the links anew for each file takes twenty times as long.
  const linked = await workOf(filesBehindLinks(10_000));
  assert.ok(linked < 5 * plain, `${linked} µs of work, and ${plain} without links`);
});

test("a small image hears an abort while its members are written", async () => {
  await using place = await createPrivateFolder("test-unpack");
  const step = createTestStep();
  const layer = filesBehindLinks(60_000);
  assert.ok(layer.descriptor.size < 1024 * 1024);
  const root = join(place.path, "rootfs");
  const unpacking = unpackRootfs({ layers: [layer], destination: root, step });
  const seen = watch(place.path, { recursive: true });
  seen.once("change", () => step.abort());
  await assert.rejects(unpacking, { name: "AbortError" });
  seen.close();
  assert.ok(!existsSync(root));
});
