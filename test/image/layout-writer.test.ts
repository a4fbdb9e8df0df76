import assert from "node:assert/strict";
import { mkdir, readdir, readFile, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { Blobs } from "../../src/image/blobs.ts";
import type { Descriptor } from "../../src/image/descriptor.ts";
import { readTree, singleImage } from "../../src/image/image-tree.ts";
import { blobPath, layoutBlobs } from "../../src/image/layout.ts";
import { writeLayout } from "../../src/image/layout-writer.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { parseReference } from "../../src/image/reference.ts";
import {
  type MadeLayout,
  writeLayout as makeLayout,
  nativePlatform,
  writeDocument,
} from "../support/images/image-writer.ts";
import { toolEnvironment } from "../support/runs/test-step.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startRegistry } from "../support/servers/registry.ts";

const { signal } = new AbortController();
const own = { layers: [[{ name: "file", content: "x" }]] };
const foreign = { ...own, platform: { os: "linux", architecture: "s390x" } };
const [registry] = await untilTestsEnd(startRegistry());

/** An index with an image, and an attestation of it as BuildKit makes them. */
async function attest({ folder, images: [image] }: MadeLayout): Promise<Descriptor> {
  assert.ok(image);
  const config = await writeDocument(folder, mediaTypes.ociConfig, {
    os: "unknown",
    architecture: "unknown",
    rootfs: { type: "layers", diff_ids: [] },
  });
  const statement = await writeDocument(folder, "application/vnd.in-toto+json", { predicate: {} });
  const mediaType = mediaTypes.ociManifest;
  const attestation = {
    ...(await writeDocument(folder, mediaType, { schemaVersion: 2, mediaType, config, layers: [statement] })),
    platform: { os: "unknown", architecture: "unknown" },
    annotations: { "vnd.docker.reference.type": "attestation-manifest" },
  };
  const manifests = [{ ...image.manifest, platform: nativePlatform }, attestation];
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  return writeDocument(folder, mediaTypes.ociIndex, index);
}

/** As the registry-image resource pushes a layout: with go-containerregistry, by its one entry. */
async function push(folder: string, name: string): Promise<string> {
  const reference = `${registry.host}/layouts:${name}`;
  await execa("crane", ["push", folder, reference], { env: toolEnvironment() });
  const { stdout } = await execa("crane", ["digest", reference], { env: toolEnvironment() });
  return stdout;
}

test("a layout with one image names it in single-image-digest, and is pushed as that image", async () => {
  await using temporary = await createPrivateFolder("test-layout");
  const made = await makeLayout(join(temporary.path, "made"), own);
  const blobs = layoutBlobs(made.folder);
  const folder = join(temporary.path, "image");
  const tags = [parseReference("registry.example/app:1", "tag")];
  await writeLayout({ tree: await readTree(blobs, made.descriptor, signal), blobs, folder, tags, signal });
  const files = ["blobs", "index.json", "oci-layout", "single-image-digest"];
  assert.deepEqual((await readdir(folder)).toSorted(), files);
  assert.equal(await readFile(join(folder, "single-image-digest"), "utf8"), made.descriptor.digest);
  assert.equal(await push(folder, "one"), made.descriptor.digest);
  await execa("umoci", ["unpack", "--image", `${folder}:1`, join(temporary.path, "bundle")]);
});

test("a layout with several platforms, or with attestations, is pushed as their index, and is whole", async () => {
  await using temporary = await createPrivateFolder("test-layout");
  const several = await makeLayout(join(temporary.path, "several"), own, foreign);
  const attested = await makeLayout(join(temporary.path, "attested"), own);
  const tops = [several.descriptor, await attest(attested)] as const;
  for (const [number, made] of [several, attested].entries()) {
    const top = tops[number];
    assert.ok(top);
    const blobs = layoutBlobs(made.folder);
    const folder = join(temporary.path, `image-${number}`);
    const tree = await readTree(blobs, top, signal);
    assert.equal(tree.images.length, 2 - number);
    await writeLayout({ tree, blobs, folder, tags: [], signal });
    assert.deepEqual((await readdir(folder)).toSorted(), ["blobs", "index.json", "oci-layout"]);
    assert.equal(await push(folder, `index-${number}`), top.digest);
    await execa("skopeo", ["inspect", "--raw", `oci:${folder}`]);
    const all = await readdir(join(made.folder, "blobs/sha256"));
    assert.deepEqual((await readdir(join(folder, "blobs/sha256"))).toSorted(), all.toSorted());

    const [image] = tree.images;
    const alone = join(temporary.path, `alone-${number}`);
    await writeLayout({ tree: singleImage(image), blobs, folder: alone, tags: [], signal });
    assert.equal(await push(alone, `alone-${number}`), image.descriptor.digest);
    assert.equal((await readdir(join(alone, "blobs/sha256"))).length, 3);
  }
});

/** A layout of one image with one layer, as a store has it. */
async function makeStored(folder: string) {
  const made = await makeLayout(join(folder, "made"), own);
  const stored = layoutBlobs(made.folder);
  const tree = await readTree(stored, made.descriptor, signal);
  const layer = made.images[0]?.layers[0]?.descriptor;
  assert.ok(layer);
  return { made, stored, tree, layer };
}

test("blobs of a store are copied, blobs that go with the step may be the same files on one filesystem", async () => {
  await using temporary = await createPrivateFolder("test-layout");
  const { made, stored, tree, layer } = await makeStored(temporary.path);
  const inode = async (folder: string) => (await stat(join(folder, blobPath(layer.digest)))).ino;
  const write = async (blobs: Blobs, name: string) => {
    const folder = join(temporary.path, name);
    await writeLayout({ tree, blobs, folder, tags: [], signal });
    return inode(folder);
  };
  const original = await inode(made.folder);
  assert.notEqual(await write(stored, "of a store"), original);
  assert.equal(await write({ ...stored, kept: false }, "of the step"), original);
  assert.notEqual(await write({ ...stored, kept: false }, "of the step, for another target"), original);
  assert.notEqual(await write({ ...stored, file: () => undefined }, "of a registry"), original);
  await using memory = await createPrivateFolder("test-layout", "/dev/shm");
  const elsewhere = await makeStored(memory.path);
  const { dev } = await stat(join(elsewhere.made.folder, blobPath(elsewhere.layer.digest)));
  assert.notEqual((await stat(temporary.path)).dev, dev);
  await write({ ...elsewhere.stored, kept: false }, "of the step, from another filesystem");
});

test("a blob that is damaged where it lies leaves no layout", async () => {
  await using temporary = await createPrivateFolder("test-layout");
  const { made, stored, tree, layer } = await makeStored(temporary.path);
  await truncate(join(made.folder, blobPath(layer.digest)), 3);
  const place = join(temporary.path, "place");
  await mkdir(place);
  for (const blobs of [stored, { ...stored, kept: false }, { ...stored, file: () => undefined }]) {
    const writing = writeLayout({ tree, blobs, folder: join(place, "image"), tags: [], signal });
    await assert.rejects(writing, /it ends after 3 of its \d+ bytes/);
    assert.deepEqual(await readdir(place), []);
  }
});
