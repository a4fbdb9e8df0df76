import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { addAbortSignal, Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { deliverAll } from "../../src/delivery/deliver.ts";
import { type Delivery, decideTarget } from "../../src/delivery/target-content.ts";
import { UserError } from "../../src/host/errors.ts";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { Blobs } from "../../src/image/blobs.ts";
import { type DiffId, digestOf, hexOf } from "../../src/image/digest.ts";
import { readTree } from "../../src/image/image-tree.ts";
import { layoutBlobs } from "../../src/image/layout.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { type MadeLayer, packTar, writeBlob, writeImageOf } from "../support/images/image-writer.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import { createTestStep } from "../support/runs/test-step.ts";

const forms: Readonly<Record<string, Partial<Delivery>>> = {
  "image.tar": {},
  "image/": { outputOci: true },
  "rootfs/": { imageTar: false, unpackRootfs: true },
  "image.tar and rootfs/": { unpackRootfs: true },
};

/** What a target has besides its image and its delivery. */
const plain = { place: undefined, record: undefined, layersAreProven: false };

/** Bytes of a file: so few that they are looked at in one thread, and so many that threads and programs are. */
const sizes = { small: 1000, large: 1_500_000 };

/** A layer's archive, and it compressed in every way. */
async function archive(size: number, seed: number) {
  const tar = await packTar([{ name: "a", content: randomBytes(randomFrom(seed), size) }]);
  const half = Math.floor(tar.length / 2);
  const [head, tail] = [tar.subarray(0, half), tar.subarray(half)];
  const blobs: Readonly<Record<string, readonly [mediaType: string, bytes: Buffer]>> = {
    plain: [mediaTypes.ociLayer, tar],
    gzip: [mediaTypes.ociLayerGzip, gzipSync(tar, { level: 1 })],
    "several members of gzip": [mediaTypes.ociLayerGzip, Buffer.concat([gzipSync(head), gzipSync(tail)])],
    zstd: [mediaTypes.ociLayerZstd, zstdCompressSync(tar)],
    "several frames of zstd": [
      mediaTypes.ociLayerZstd,
      Buffer.concat([zstdCompressSync(head), zstdCompressSync(tail)]),
    ],
    "gzip with the media type of zstd": [mediaTypes.ociLayerZstd, gzipSync(tar, { level: 1 })],
  };
  return { tar, blobs };
}

interface TestDelivery extends Partial<Delivery> {
  readonly layersAreProven?: boolean;
  /** Whether the stored blob of the layer given differs from its descriptor in one byte. */
  readonly isDamaged?: boolean;
}

/** Delivers an image of one honest layer and one given; answers the folder's names. */
async function deliver(
  [mediaType, bytes]: readonly [string, Buffer],
  diffId: DiffId,
  { isDamaged = false, ...delivery }: TestDelivery,
): Promise<string[]> {
  await using place = await createPrivateFolder("test-proved");
  const store = join(place.path, "store");
  await mkdir(join(store, "blobs/sha256"), { recursive: true });
  const under = (await archive(sizes.small, 7)).tar;
  const honest: MadeLayer = {
    descriptor: await writeBlob(store, mediaTypes.ociLayer, under),
    diffId: digestOf(under) as DiffId,
    tar: under,
  };
  const descriptor = await writeBlob(store, mediaType, bytes);
  if (isDamaged) {
    const damaged = Buffer.from(bytes);
    damaged.writeUInt8(damaged.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
    await writeFile(join(store, "blobs/sha256", hexOf(descriptor.digest)), damaged);
  }
  const { manifest } = await writeImageOf(store, [honest, { descriptor, diffId, tar: bytes }]);
  const blobs = layoutBlobs(store);
  const step = createTestStep();
  const tree = await readTree(blobs, manifest, step.signal);
  const wanted = { imageTar: true, outputOci: false, unpackRootfs: false, platform: undefined, ...delivery };
  const folder = join(place.path, "get");
  try {
    await deliverAll([{ ...decideTarget({ ...plain, ...wanted, tree, blobs, step }), folder }]);
  } catch (thrown) {
    assert.deepEqual(await readdir(place.path), ["store"], "something is left of a delivery that failed");
    throw thrown;
  }
  return (await readdir(folder)).toSorted();
}

for (const [name, size] of Object.entries(sizes)) {
  test(`a ${name} layer that isn't its diff ID's is delivered in no form, whatever it is compressed with`, async () => {
    const honest = await archive(size, 1);
    const other = await archive(size, 2);
    for (const [form, delivery] of Object.entries(forms)) {
      for (const [compression, blob] of Object.entries(other.blobs)) {
        const delivering = deliver(blob, digestOf(honest.tar) as DiffId, delivery);
        await assert.rejects(delivering, (thrown: unknown) => {
          assert.ok(thrown instanceof UserError, `${form}, ${compression}: ${String(thrown)}`);
          assert.match(
            thrown.message,
            /holds an archive of digest sha256:.*, the image's config says sha256:/,
          );
          return true;
        });
      }
    }
  });

  test(`a ${name} layer that is its diff ID's is delivered, whatever it is compressed with`, async () => {
    const { tar, blobs } = await archive(size, 3);
    for (const blob of Object.values(blobs)) {
      const diffId = digestOf(tar) as DiffId;
      assert.ok((await deliver(blob, diffId, {})).includes("image.tar"));
      assert.ok((await deliver(blob, diffId, { outputOci: true })).includes("image"));
    }
  });
}

test("layers that are proven aren't compared with their diff IDs, in any form, whatever they are compressed with", async () => {
  for (const size of Object.values(sizes)) {
    const { blobs } = await archive(size, 6);
    for (const [form, delivery] of Object.entries(forms)) {
      for (const [compression, blob] of Object.entries(blobs)) {
        const other = digestOf(Buffer.from("another archive")) as DiffId;
        const names = await deliver(blob, other, { ...delivery, layersAreProven: true });
        assert.ok(names.includes("digest"), `${form}, ${compression}`);
      }
    }
  }
});

test("a blob that isn't its digest's is delivered in no form, whatever is proven of it", async () => {
  const { tar, blobs } = await archive(sizes.large, 8);
  for (const [mediaType, bytes] of Object.values(blobs)) {
    for (const [form, delivery] of Object.entries(forms)) {
      const how = { ...delivery, layersAreProven: true, isDamaged: true };
      const delivering = deliver([mediaType, bytes], digestOf(tar) as DiffId, how);
      await assert.rejects(delivering, /sha256:/, form);
    }
  }
});

test("a blob that is damaged, or isn't what its first bytes say, is delivered in no form", async () => {
  const { tar, blobs } = await archive(sizes.large, 4);
  const [, gzip = tar] = blobs["gzip"] ?? [];
  const [, zstd = tar] = blobs["zstd"] ?? [];
  for (const bytes of [gzip.subarray(0, -20), zstd.subarray(0, -20), Buffer.concat([zstd, tar])]) {
    for (const form of [{}, { outputOci: true }]) {
      const delivering = deliver([mediaTypes.ociLayerGzip, bytes], digestOf(tar) as DiffId, form);
      await assert.rejects(delivering, /layer sha256:.* can't be decompressed: /);
    }
  }
});

test("gzip with something behind it is delivered in no form, and with zeros or an empty member behind it in each", async () => {
  const zeros = Buffer.alloc(600);
  for (const size of Object.values(sizes)) {
    const { tar, blobs } = await archive(size, 9);
    const [mediaType, gzip = tar] = blobs["gzip"] ?? [""];
    const diffId = digestOf(tar) as DiffId;
    for (const [form, delivery] of Object.entries(forms)) {
      for (const behind of [Buffer.from("garbage"), Buffer.concat([zeros, Buffer.of(1)])]) {
        const delivering = deliver([mediaType, Buffer.concat([gzip, behind])], diffId, delivery);
        await assert.rejects(delivering, /something else follows its last gzip member/, form);
      }
      for (const behind of [zeros, gzipSync("")])
        assert.ok((await deliver([mediaType, Buffer.concat([gzip, behind])], diffId, delivery)).length > 0);
    }
  }
});

test("a plain layer's own digest as diff ID of its compressed bytes vouches for nothing", async () => {
  const { blobs } = await archive(sizes.small, 5);
  const [mediaType, bytes] = blobs["gzip"] ?? ["", Buffer.alloc(0)];
  const delivering = deliver([mediaType, bytes], digestOf(bytes) as DiffId, {});
  await assert.rejects(delivering, /holds an archive of digest/);
});

test("an abort ends a delivery while its layers are proved", async () => {
  await using place = await createPrivateFolder("test-proved");
  const store = join(place.path, "store");
  await mkdir(join(store, "blobs/sha256"), { recursive: true });
  const tar = await packTar([{ name: "zeros", content: Buffer.alloc(200_000_000) }]);
  const descriptor = await writeBlob(store, mediaTypes.ociLayerGzip, gzipSync(tar, { level: 1 }));
  const { manifest } = await writeImageOf(store, [{ descriptor, diffId: digestOf(tar) as DiffId, tar }]);
  const blobs = layoutBlobs(store);
  const controller = new AbortController();
  const step = { ...createTestStep(), signal: controller.signal };
  const tree = await readTree(blobs, manifest, step.signal);
  const folder = join(place.path, "get");
  const delivery = { imageTar: true, outputOci: false, unpackRootfs: false, platform: undefined };
  const delivering = deliverAll([{ ...decideTarget({ ...delivery, ...plain, tree, blobs, step }), folder }]);
  setImmediate(() => controller.abort(new Error("aborted by the test")));
  await assert.rejects(delivering, /abort/i);
  assert.deepEqual(await readdir(place.path), ["store"]);
});

/** Delivers an image of four large layers from a network; answers the error. `streamOf` gives a layer's bytes. */
async function failingDelivery(
  delivery: Partial<Delivery>,
  { lying, streamOf }: { lying?: number; streamOf?: (at: number, bytes: Buffer) => Readable },
): Promise<unknown> {
  await using place = await createPrivateFolder("test-proved");
  const store = join(place.path, "store");
  await mkdir(join(store, "blobs/sha256"), { recursive: true });
  const contents = new Map<string, readonly [at: number, bytes: Buffer]>();
  const layers: MadeLayer[] = [];
  for (let at = 0; at < 4; at++) {
    const { tar } = await archive(sizes.large, 10 + at);
    const bytes = gzipSync(tar, { level: 1 });
    const descriptor = await writeBlob(store, mediaTypes.ociLayerGzip, bytes);
    const named = at === lying ? Buffer.from("another archive") : tar;
    layers.push({ descriptor, diffId: digestOf(named) as DiffId, tar });
    contents.set(descriptor.digest, [at, bytes]);
  }
  const { manifest } = await writeImageOf(store, layers);
  const near = layoutBlobs(store);
  const blobs: Blobs = {
    ...near,
    file: () => undefined,
    async open(descriptor, signal) {
      const [at, bytes] = contents.get(descriptor.digest) ?? [];
      if (at === undefined || bytes === undefined || streamOf === undefined)
        return near.open(descriptor, signal);
      return addAbortSignal(signal, streamOf(at, bytes));
    },
  };
  const step = createTestStep();
  const tree = await readTree(near, manifest, step.signal);
  const wanted = { imageTar: true, outputOci: false, unpackRootfs: false, platform: undefined, ...delivery };
  const target = decideTarget({ ...wanted, ...plain, tree, blobs, step });
  const error = await deliverAll([{ ...target, folder: join(place.path, "get") }]).catch((thrown) => thrown);
  assert.deepEqual(await readdir(place.path), ["store"], "something is left of a delivery that failed");
  return error;
}

test("one of several layers that isn't its diff ID's leaves nothing of the others", async () => {
  for (const [form, delivery] of Object.entries(forms))
    for (const lying of [0, 3])
      assert.match(String(await failingDelivery(delivery, { lying })), /holds an archive of digest/, form);
});

/** The first layer is cut in the middle. The others begin, and never end. */
function streamOfCut(at: number, bytes: Buffer): Readable {
  let isBegun = false;
  return new Readable({
    read() {
      if (!isBegun) this.push(bytes.subarray(0, 600_000));
      else if (at === 0) this.destroy(new Error("the connection was cut"));
      isBegun = true;
    },
  });
}

test("a layer whose connection is cut ends the others, which are still coming, and leaves nothing", async () => {
  for (const [form, delivery] of Object.entries(forms)) {
    const failure = await failingDelivery(delivery, { streamOf: streamOfCut });
    assert.match(String(failure), /the connection was cut/, form);
  }
});
