import assert from "node:assert/strict";
import { existsSync, watch } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { deliverAll } from "../../src/delivery/deliver.ts";
import { decideTarget } from "../../src/delivery/target-content.ts";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { Blobs } from "../../src/image/blobs.ts";
import { type DiffId, digestOf, hexOf } from "../../src/image/digest.ts";
import { readTree } from "../../src/image/image-tree.ts";
import { layoutBlobs } from "../../src/image/layout.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { type MadeLayer, packTar, writeBlob, writeImageOf } from "../support/images/image-writer.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import { createTestStep } from "../support/runs/test-step.ts";

/** Resolves when none of the names is in the folder any more. */
async function untilGone(folder: string, names: readonly string[], signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () => !names.some((name) => existsSync(join(folder, name))) && resolve();
  const watcher = watch(folder, look);
  signal.addEventListener("abort", () => reject(signal.reason));
  look();
  await promise.finally(() => watcher.close());
}

test("a fetched layer's file is removed once it is unpacked, and not before an image that has it twice needs it no more", async () => {
  await using place = await createPrivateFolder("test-fetched");
  const store = join(place.path, "store");
  await mkdir(join(store, "blobs/sha256"), { recursive: true });
  const layer = async (name: string): Promise<MadeLayer> => {
    const tar = await packTar([{ name, content: randomBytes(randomFrom(name.length), 600_000) }]);
    const descriptor = await writeBlob(store, mediaTypes.ociLayer, tar);
    return { descriptor, diffId: digestOf(tar) as DiffId, tar };
  };
  const [twice, once, last] = [await layer("a"), await layer("bb"), await layer("ccc")];
  const { manifest } = await writeImageOf(store, [twice, once, twice, last]);
  const local = layoutBlobs(store);
  const folder = join(place.path, "get");
  const step = createTestStep();

  async function* lastBytes(signal: AbortSignal) {
    const [partial = ""] = (await readdir(folder)).filter((name) => name.startsWith(".partial-"));
    const layers = join(folder, partial, ".layers");
    const earlier = [twice, once].map(({ descriptor }) => hexOf(descriptor.digest));
    await untilGone(layers, earlier, AbortSignal.any([signal, AbortSignal.timeout(60_000)]));
    assert.deepEqual(await readdir(layers), [hexOf(last.descriptor.digest)]);
    yield last.tar;
  }
  const blobs: Blobs = {
    ...local,
    file: () => undefined,
    open: async (descriptor, signal) =>
      descriptor.digest === last.descriptor.digest
        ? Readable.from(lastBytes(signal), { objectMode: false })
        : local.open(descriptor, signal),
  };
  const wanted = { imageTar: false, outputOci: false, unpackRootfs: true, platform: undefined };
  const plain = { place: undefined, record: undefined, layersAreProven: false };
  const tree = await readTree(local, manifest, step.signal);
  await deliverAll([{ ...decideTarget({ ...plain, ...wanted, tree, blobs, step }), folder }]);

  for (const name of ["a", "bb", "ccc"])
    assert.equal((await readFile(join(folder, "rootfs", name))).length, 600_000);
  assert.deepEqual((await readdir(folder)).toSorted(), ["digest", "labels.json", "metadata.json", "rootfs"]);
});
