import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { unpackRootfs } from "../../src/rootfs/unpack.ts";
import { createTestHost } from "../support/host.ts";
import { rawTar } from "../support/raw-tar.ts";
import { file, layerOf } from "../support/unpacking.ts";

const neverComing = async () => new Readable({ read() {} });

test("an abort at any moment of a start ends the unpacking, and not the process", async () => {
  await using place = await createPrivateFolder("test-unpack");
  // Large enough for threads, whose start takes some tens of milliseconds.
  const layer = layerOf(rawTar([file("a", "x".repeat(3_000_000))]));
  for (let delay = 0; delay < 200; delay += 3) {
    const host = createTestHost();
    const destination = join(place.path, "rootfs");
    const unpacking = unpackRootfs({ layers: [{ ...layer, open: neverComing }], destination, host });
    setTimeout(() => host.abort(), delay);
    await assert.rejects(unpacking, { name: "AbortError" });
    assert.ok(!existsSync(destination));
  }
});

test("an abort in the middle ends the unpacking and removes what is there", async () => {
  for (const size of [1000, 3_000_000]) {
    await using place = await createPrivateFolder("test-unpack");
    const host = createTestHost();
    const layer = layerOf(rawTar([file("a", "x".repeat(size))]));
    const open = async () => {
      host.abort();
      return new Readable({ read() {} });
    };
    const root = join(place.path, "rootfs");
    const unpacking = unpackRootfs({ layers: [{ ...layer, open }], destination: root, host });
    await assert.rejects(unpacking, { name: "AbortError" });
    assert.ok(!existsSync(root));
  }
});
