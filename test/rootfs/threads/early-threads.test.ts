import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { startThreadsEarly } from "../../../src/rootfs/threads/early-threads.ts";
import { type Layer, unpackRootfs } from "../../../src/rootfs/unpack.ts";
import { packTar } from "../../support/images/image-writer.ts";
import { layerOf } from "../../support/images/unpacking.ts";
import { randomBytes, randomFrom } from "../../support/runs/random.ts";
import { createTestStep } from "../../support/runs/test-step.ts";

/** As much as makes unpacking use threads. */
async function largeLayer(name: string): Promise<Layer> {
  return layerOf(await packTar([{ name, content: randomBytes(randomFrom(1), 1_200_000) }]));
}

test("the first image that needs threads gets those that were started early, and the next one gets its own", async () => {
  await using place = await createPrivateFolder("test-early");
  const step = createTestStep();
  await using threads = startThreadsEarly(step);
  const images = [
    layerOf(await packTar([{ name: "small" }])),
    await largeLayer("one"),
    await largeLayer("two"),
  ];
  for (const [at, layer] of images.entries())
    await unpackRootfs({ layers: [layer], destination: join(place.path, `${at}`), step, threads });
  const unpacked = images.map((_, at) => readdirSync(join(place.path, `${at}`)));
  assert.deepEqual(unpacked, [["small"], ["one"], ["two"]]);
  assert.equal(threads.take(), undefined);
});

test("threads that were started early end if nothing was unpacked, and after an abort", async () => {
  await using place = await createPrivateFolder("test-early");
  const step = createTestStep();
  for (const isAborted of [false, true]) {
    await using threads = startThreadsEarly(step);
    if (!isAborted) continue;
    step.abort();
    const destination = join(place.path, "rootfs");
    const unpacking = unpackRootfs({ layers: [await largeLayer("a")], destination, step, threads });
    await assert.rejects(unpacking, { name: "AbortError" });
    assert.ok(!existsSync(destination));
  }
});
