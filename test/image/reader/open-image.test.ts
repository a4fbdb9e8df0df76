import assert from "node:assert/strict";
import { mkdir, open, readdir, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { execa } from "execa";
import { UserError } from "../../../src/host/errors.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { configDigestOf, readTree } from "../../../src/image/image-tree.ts";
import { layoutBlobs, readLayoutIndex } from "../../../src/image/layout.ts";
import { mediaTypes } from "../../../src/image/media-types.ts";
import { openImageArg } from "../../../src/image/reader/open-image.ts";
import { type Entry, nativePlatform, packTar, writeLayout } from "../../support/images/image-writer.ts";
import { createTestStep } from "../../support/runs/test-step.ts";

const signal = new AbortController().signal;
const { log } = createTestStep();
const arg = { name: "image_args.base", platforms: [], log, signal };
const layer = await packTar([{ name: "a", content: "a" }]);
const diffId = digestOf(layer);
const config = Buffer.from(
  JSON.stringify({ ...nativePlatform, config: {}, rootfs: { type: "layers", diff_ids: [diffId] } }),
);
const configHex = hexOf(digestOf(config));
const manifest = [{ Config: `${configHex}.json`, RepoTags: ["app:1"], Layers: ["one/layer.tar"] }];

function describe(mediaType: string, bytes: Uint8Array) {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

interface Parts {
  readonly manifest?: unknown;
  readonly config?: Uint8Array;
  readonly layer?: Uint8Array;
  readonly more?: readonly Entry[];
}

/** An archive as `docker save` of Docker 24 and older wrote it. */
function saved(parts: Parts = {}): Promise<Buffer> {
  const list = "manifest" in parts ? parts.manifest : manifest;
  return packTar([
    { name: "one/layer.tar", content: parts.layer ?? layer },
    { name: `${configHex}.json`, content: parts.config ?? config },
    ...(list === undefined ? [] : [{ name: "manifest.json", content: JSON.stringify(list) }]),
    ...(parts.more ?? []),
  ]);
}

async function openArchive(bytes: Uint8Array): Promise<string> {
  await using folder = await createPrivateFolder("test-image-arg");
  const path = join(folder.path, "image.tar");
  await writeFile(path, bytes);
  const workspace = join(folder.path, "workspace");
  await mkdir(workspace);
  const opened = await openImageArg({ ...arg, path, root: folder.path, workspace });
  const layout = layoutBlobs(opened.layout);
  const [top] = readLayoutIndex(opened.layout).manifests;
  assert.ok(top);
  assert.equal(top.digest, opened.digest);
  const { images } = await readTree(layout, top, signal);
  return configDigestOf(images[0]);
}

const configDigest = `sha256:${configHex}`;

test("an archive of docker save is an image, plain, with gzip around it and with compressed layers", async () => {
  assert.equal(await openArchive(await saved()), configDigest);
  assert.equal(await openArchive(gzipSync(await saved())), configDigest);
  assert.equal(await openArchive(await saved({ layer: gzipSync(layer) })), configDigest);
});

test("a layer's compression may come in several members or frames, with frames to skip, and so may the archive's", async () => {
  const [head, tail] = [layer.subarray(0, 700), layer.subarray(700)];
  /** Other data between frames (RFC 8878, 3.1.2). */
  const skippable = Buffer.from("502a4d1803000000616263", "hex");
  const zstd = zstdCompressSync;
  for (const compressed of [
    Buffer.concat([gzipSync(head), gzipSync(tail), gzipSync("")]),
    Buffer.concat([zstd(head), zstd(tail)]),
    Buffer.concat([skippable, zstd(head), skippable, zstd(tail), skippable]),
  ]) {
    assert.equal(await openArchive(await saved({ layer: compressed })), configDigest);
  }
  const archive = await saved();
  const [start, end] = [archive.subarray(0, 1000), archive.subarray(1000)];
  assert.equal(await openArchive(Buffer.concat([gzipSync(start), gzipSync(end)])), configDigest);
  assert.equal(await openArchive(Buffer.concat([skippable, zstd(start), zstd(end)])), configDigest);
});

test("a layer that is a link within the archive is followed", async () => {
  const linked = [{ Config: `${configHex}.json`, Layers: ["two/layer.tar"] }];
  const more: Entry[] = [{ name: "two/layer.tar", type: "symlink", linkname: "../one/layer.tar" }];
  assert.equal(await openArchive(await saved({ manifest: linked, more })), configDigest);
});

test("archives that skopeo writes in both forms are images, and so is a layout's folder", async () => {
  await using folder = await createPrivateFolder("test-image-arg");
  const { images } = await writeLayout(join(folder.path, "layout"));
  const digest = images[0]?.config.digest;
  const from = `oci:${join(folder.path, "layout")}`;
  for (const form of ["docker-archive", "oci-archive"]) {
    const path = join(folder.path, `${form}.tar`);
    await execa("skopeo", ["copy", from, `${form}:${path}:app:1`]);
    const opened = await openImageArg({ ...arg, path, root: folder.path, workspace: folder.path });
    const layout = layoutBlobs(opened.layout);
    const [top] = readLayoutIndex(opened.layout).manifests;
    assert.ok(top);
    const tree = await readTree(layout, top, signal);
    // skopeo writes the config of a docker-archive anew when media types change; the layers stay.
    assert.deepEqual(tree.images[0].config.rootfs.diff_ids, [images[0]?.layers[0]?.diffId]);
    if (form === "oci-archive") assert.equal(configDigestOf(tree.images[0]), digest);
  }
  const path = join(folder.path, "layout");
  const opened = await openImageArg({ ...arg, path, root: folder.path, workspace: folder.path });
  assert.equal(opened.digest, images[0]?.manifest.digest);
});

const other = Buffer.from(JSON.stringify({ ...JSON.parse(config.toString()), author: "somebody" }));

const refused: readonly { what: string; archive: () => Promise<Uint8Array>; message: RegExp }[] = [
  {
    what: "no manifest",
    archive: () => saved({ manifest: undefined }),
    message: /neither manifest.json nor index/,
  },
  { what: "a manifest that is null", archive: () => saved({ manifest: null }), message: /manifest\.json/ },
  { what: "a manifest that is a map", archive: () => saved({ manifest: {} }), message: /manifest\.json/ },
  { what: "a manifest of no image", archive: () => saved({ manifest: [] }), message: /lists no image/ },
  {
    what: "a manifest of several images",
    archive: () => saved({ manifest: [...manifest, { ...manifest[0], Layers: [], RepoTags: ["app:2"] }] }),
    message: /lists 2 images \(app:1, app:2\)/,
  },
  {
    what: "two manifests",
    archive: () => saved({ more: [{ name: "manifest.json", content: "[]" }] }),
    message: /manifest\.json twice/,
  },
  {
    what: "a manifest over 1 MiB",
    archive: () => saved({ manifest: [{ ...manifest[0], padding: "x".repeat(1024 * 1024) }] }),
    message: /expected 1048576 at most/,
  },
  {
    what: "a config over 4 MiB",
    archive: () => saved({ config: Buffer.alloc(5 * 1024 * 1024) }),
    message: /config: has 5242880 bytes; expected 4194304 at most/,
  },
  {
    what: "a manifest whose header claims 8 GiB",
    archive: async () => {
      const header = (await packTar([{ name: "manifest.json", size: 0 }])).subarray(0, 512);
      // Octal, 12 digits: the size field (pax(1), ustar); then the checksum over the header with blanks in its place.
      header.write("100000000000", 124, "latin1");
      header.write("        ", 148, "latin1");
      const sum = header.reduce((total, byte) => total + byte, 0);
      header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
      return Buffer.concat([header, await saved()]);
    },
    message: /is not a complete tar archive/,
  },
  {
    what: "two forms that are two images",
    archive: async () => {
      const elsewhere = { ...JSON.parse(config.toString()), author: "somebody" };
      const layoutConfig = Buffer.from(JSON.stringify(elsewhere));
      const mediaType = mediaTypes.ociManifest;
      const layoutManifest = Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType,
          config: describe(mediaTypes.ociConfig, layoutConfig),
          layers: [describe(mediaTypes.ociLayer, layer)],
        }),
      );
      const index = { schemaVersion: 2, manifests: [describe(mediaType, layoutManifest)] };
      const blobs = [layoutConfig, layoutManifest].map((content) => ({
        name: `blobs/sha256/${hexOf(digestOf(content))}`,
        content,
      }));
      return saved({
        more: [
          { name: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
          { name: "index.json", content: JSON.stringify(index) },
          ...blobs,
        ],
      });
    },
    message: /its manifest\.json and its index\.json name different images/,
  },
  {
    what: "more layers than diff IDs",
    archive: () => saved({ manifest: [{ ...manifest[0], Layers: ["one/layer.tar", "one/layer.tar"] }] }),
    message: /lists 2 layers, the config 1 diff IDs/,
  },
  {
    what: "a config outside of the archive",
    archive: () => saved({ manifest: [{ ...manifest[0], Config: "../../etc/passwd" }] }),
    message: /leads out of the archive/,
  },
  {
    what: "a config by an absolute path",
    archive: () => saved({ manifest: [{ ...manifest[0], Config: "/etc/passwd" }] }),
    message: /holds no "\/etc\/passwd"/,
  },
  {
    what: "a config that is a folder",
    archive: () =>
      saved({ manifest: [{ ...manifest[0], Config: "one" }], more: [{ name: "one/", type: "directory" }] }),
    message: /is not a file in the archive/,
  },
  {
    what: "a layer that links outside",
    archive: () =>
      saved({
        manifest: [{ ...manifest[0], Layers: ["two"] }],
        more: [{ name: "two", type: "symlink", linkname: "../../etc/passwd" }],
      }),
    message: /leads out of the archive/,
  },
  {
    what: "layers that link to each other",
    archive: () =>
      saved({
        manifest: [{ ...manifest[0], Layers: ["two"] }],
        more: [
          { name: "two", type: "symlink", linkname: "three" },
          { name: "three", type: "symlink", linkname: "two" },
        ],
      }),
    message: /leads back to itself/,
  },
  {
    what: "a layer with one byte changed",
    archive: () => {
      const changed = Buffer.from(layer);
      changed[512] = (changed[512] ?? 0) ^ 1;
      return saved({ layer: changed });
    },
    message: /a layer has diff ID .*: it is damaged/,
  },
  { what: "a config that isn't its name's", archive: () => saved({ config: other }), message: /was changed/ },
  {
    what: "an archive that was cut",
    archive: async () => (await saved()).subarray(0, 700),
    message: /is not a complete tar archive/,
  },
  {
    what: "gzip that was cut",
    archive: async () => {
      const bytes = gzipSync(await saved());
      return bytes.subarray(0, bytes.length - 20);
    },
    message: /is not a complete tar archive/,
  },
  {
    what: "what isn't an archive",
    archive: async () => Buffer.alloc(2048, "x"),
    message: /is not a complete tar archive/,
  },
];

for (const { what, archive, message } of refused) {
  test(`an image arg with ${what} is refused by its param's name`, async () => {
    await assert.rejects(openArchive(await archive()), (thrown: unknown) => {
      assert.ok(thrown instanceof UserError, String(thrown instanceof Error ? thrown.stack : thrown));
      assert.match(thrown.message, /^image_args\.base: /);
      assert.match(thrown.message, message);
      return true;
    });
  });
}

test("a folder without an image is refused with what was expected in it", async () => {
  await using folder = await createPrivateFolder("test-image-arg");
  const opening = openImageArg({ ...arg, path: folder.path, root: folder.path, workspace: folder.path });
  await assert.rejects(opening, /image_args\.base: the folder holds no image; expected an OCI layout/);
  assert.deepEqual(await readdir(folder.path), []);
});

test("what counts as a document is what is named as one: layers have any name, and are many", async () => {
  // Each could be a document by its size, and all together are over what documents may be.
  const layers = Array.from({ length: 20 }, (_, at) => Buffer.alloc(3_500_000, at));
  const diffIds = layers.map(digestOf);
  const document = { ...nativePlatform, config: {}, rootfs: { type: "layers", diff_ids: diffIds } };
  const many = Buffer.from(JSON.stringify(document));
  const names = diffIds.map((digest, at) => (at % 2 === 0 ? `blobs/sha256/${hexOf(digest)}` : `${at}.json`));
  const list = [{ Config: "the config", Layers: names }];
  const archive = await packTar([
    ...layers.map((content, at) => ({ name: names[at] ?? "", content })),
    { name: "the config", content: many },
    { name: "manifest.json", content: JSON.stringify(list) },
  ]);
  assert.equal(await openArchive(archive), digestOf(many));
});

test("an image that manifest.json lists under several tags is one", async () => {
  const tagged = { ...manifest[0], RepoTags: ["app:2"] };
  assert.equal(await openArchive(await saved({ manifest: [...manifest, tagged] })), configDigest);
});

test("a sparse file of 1 TiB isn't read to its end: a hole is no archive, and a member's content is passed over", async () => {
  await using folder = await createPrivateFolder("test-image-arg");
  const size = 2 ** 40;
  const hole = join(folder.path, "hole");
  await writeFile(hole, "");
  await truncate(hole, size);
  const opening = openImageArg({ ...arg, path: hole, root: folder.path, workspace: folder.path });
  await assert.rejects(opening, /neither manifest\.json nor index\.json/);
  // A member of 1 TiB that nothing names, before an image.
  const large = join(folder.path, "large.tar");
  const header = (await packTar([{ name: "large", size: 0 }])).subarray(0, 512);
  header.fill(0, 124, 136);
  header.writeUInt8(0x80, 124); // A number in base 256 (GNU tar).
  header.writeBigUInt64BE(BigInt(size), 128);
  header.write("        ", 148, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  await using file = await open(large, "w");
  await file.write(header, 0, header.length, 0);
  await file.write(await saved(), 0, undefined, size + 512);
  const opened = await openImageArg({ ...arg, path: large, root: folder.path, workspace: folder.path });
  assert.ok(opened.digest);
});

test("links of a folder lead no further than the inputs", async () => {
  await using folder = await createPrivateFolder("test-image-arg");
  const inputs = join(folder.path, "inputs");
  const { folder: secret } = await writeLayout(join(folder.path, "secret"));
  const { folder: shared } = await writeLayout(join(inputs, "shared"));
  const workspace = folder.path;
  for (const name of ["image", "oci"]) {
    const path = join(inputs, `with-${name}`);
    await mkdir(path);
    await symlink("../shared", join(path, name));
    assert.ok(await openImageArg({ ...arg, path, root: inputs, workspace }));
    await rm(join(path, name));
    await symlink(secret, join(path, name));
    const opening = openImageArg({ ...arg, path, root: inputs, workspace });
    await assert.rejects(opening, /image_args\.base: .* symbolic link that leads out of the inputs/);
  }
  const archives = join(inputs, "archives");
  await mkdir(archives);
  await writeFile(join(folder.path, "secret.tar"), await saved());
  for (const name of ["image.tar", "image"]) {
    await symlink(join(folder.path, "secret.tar"), join(archives, name));
    const opening = openImageArg({ ...arg, path: archives, root: inputs, workspace });
    await assert.rejects(opening, /symbolic link that leads out of the inputs/);
    await rm(join(archives, name));
  }
  const blobs = join(shared, "blobs/sha256");
  const [blob = ""] = await readdir(blobs);
  await rename(join(blobs, blob), join(folder.path, "blob"));
  await symlink(join(folder.path, "blob"), join(blobs, blob));
  const opening = openImageArg({ ...arg, path: shared, root: inputs, workspace });
  await assert.rejects(opening, /symbolic link that leads out of the inputs/);
});
