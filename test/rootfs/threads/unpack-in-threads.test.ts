import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { type Layer, unpackRootfs } from "../../../src/rootfs/unpack.ts";
import { packTar } from "../../support/images/image-writer.ts";
import { layerOf } from "../../support/images/unpacking.ts";
import { randomBytes, randomFrom } from "../../support/runs/random.ts";
import { createTestStep } from "../../support/runs/test-step.ts";

/** As much as makes unpacking use threads. */
async function largeLayer(): Promise<Layer> {
  const content = randomBytes(randomFrom(1), 1_200_000);
  return layerOf(await packTar([{ name: "large", content }]));
}

test("127 layers, each with a file over one of the layer before, become the last one's", async () => {
  const layers = [await largeLayer()];
  while (layers.length < 127) {
    layers.push(layerOf(await packTar([{ name: "same" }, { name: `of-${layers.length}` }])));
  }
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on("warning", note);
  await using place = await createPrivateFolder("test-layers");
  const destination = join(place.path, "rootfs");
  await unpackRootfs({ layers, destination, step: createTestStep() });
  // Node emits warnings at the end of the tick.
  await new Promise(setImmediate);
  process.off("warning", note);
  assert.equal(readdirSync(destination).length, 128);
  assert.deepEqual(warnings, []);
});
