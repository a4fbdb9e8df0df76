import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { UserError } from "../../../src/host/errors.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { type DiffId, digestOf } from "../../../src/image/digest.ts";
import { type Layer, unpackRootfs } from "../../../src/rootfs/unpack.ts";
import { createTestHost } from "../../support/host.ts";
import { packTar } from "../../support/images.ts";
import { randomBytes, randomFrom } from "../../support/random.ts";
import { layerOf } from "../../support/unpacking.ts";

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
  await unpackRootfs({ layers, destination, host: createTestHost() });
  // Node emits warnings at the end of the tick.
  await new Promise(setImmediate);
  process.off("warning", note);
  assert.equal(readdirSync(destination).length, 128);
  assert.deepEqual(warnings, []);
});

test("a damaged layer is told although the next one's bytes don't come", {
  timeout: 20_000,
}, async (context: TestContext) => {
  const good = await largeLayer();
  const damaged = { ...good, diffId: digestOf(Buffer.from("something else")) as DiffId };
  const closed = Promise.withResolvers<void>();
  const silent: Layer = {
    ...good,
    open: async () => new Readable({ read() {} }).on("close", () => closed.resolve()),
  };
  await using place = await createPrivateFolder("test-layers");
  const unpacking = unpackRootfs({
    layers: [damaged, silent],
    destination: join(place.path, "rootfs"),
    host: createTestHost(),
  });
  const waited = new Promise<never>((_, reject) => {
    context.signal.addEventListener("abort", () => reject(new Error("still waiting")));
  });
  await assert.rejects(Promise.race([unpacking, waited]), (error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /the image's config says/);
    return true;
  });
  await closed.promise;
});
