import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
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

test("layers that are proven and others, in any order, are written alike, and the others are compared with their diff IDs", async () => {
  const random = randomFrom(3);
  const files = () =>
    Array.from({ length: 300 }, (_, at) => ({
      name: `file-${at}`,
      content: randomBytes(random, at % 50 === 0 ? 400_000 : 3000),
    }));
  await using place = await createPrivateFolder("test-layers");
  const unpack = async (name: string, layers: readonly Layer[]) => {
    const destination = join(place.path, name);
    await unpackRootfs({ layers, destination, step: createTestStep() });
    return Buffer.concat(readdirSync(destination).map((file) => readFileSync(join(destination, file))));
  };
  const tars = await Promise.all(Array.from({ length: 5 }, async () => packTar(files())));
  const compared = tars.map((tar) => layerOf(tar));
  const expected = await unpack("compared", compared);
  const mixed = compared.map((layer, at) => ({ ...layer, isProven: at % 2 === 0 }));
  assert.ok(expected.equals(await unpack("mixed", mixed)));
  assert.ok(
    expected.equals(
      await unpack(
        "proven",
        compared.map((layer) => ({ ...layer, isProven: true })),
      ),
    ),
  );
  const [first] = compared;
  assert.ok(first);
  const lying = mixed.map((layer) => (layer.isProven ? layer : { ...layer, diffId: first.diffId }));
  await assert.rejects(unpack("lying", lying), /holds an archive of digest/);
});
