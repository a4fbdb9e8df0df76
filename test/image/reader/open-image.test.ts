import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { execa } from "execa";
import { UserError } from "../../../src/host/errors.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { digestOf, hexOf } from "../../../src/image/digest.ts";
import { configDigestOf, readTree } from "../../../src/image/image-tree.ts";
import { openLayout } from "../../../src/image/layout.ts";
import { mediaTypes } from "../../../src/image/media-types.ts";
import { openImageArg } from "../../../src/image/reader/open-image.ts";
import { type Entry, nativePlatform, packTar, writeLayout } from "../../support/images/image-writer.ts";

const signal = new AbortController().signal;
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
  const opened = await openImageArg({ name: "image_args.base", path, workspace, platforms: [], signal });
  const layout = await openLayout(opened.layout);
  const [top] = layout.index.manifests;
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
    const opened = await openImageArg({
      name: "image_args.base",
      path,
      workspace: folder.path,
      platforms: [],
      signal,
    });
    const layout = await openLayout(opened.layout);
    const [top] = layout.index.manifests;
    assert.ok(top);
    const tree = await readTree(layout, top, signal);
    // skopeo writes the config of a docker-archive anew when media types change; the layers stay.
    assert.deepEqual(tree.images[0].config.rootfs.diff_ids, [images[0]?.layers[0]?.diffId]);
    if (form === "oci-archive") assert.equal(configDigestOf(tree.images[0]), digest);
  }
  const path = join(folder.path, "layout");
  const opened = await openImageArg({ name: "a", path, workspace: folder.path, platforms: [], signal });
  assert.equal(opened.layout, path);
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
    archive: () => saved({ manifest: [...manifest, ...manifest] }),
    message: /lists 2 images \(app:1, app:1\)/,
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
    message: /such a document may have 4194304 at most/,
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
    message: /is no whole tar archive/,
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
    message: /leads out of the archive/,
  },
  {
    what: "a config that is a folder",
    archive: () =>
      saved({ manifest: [{ ...manifest[0], Config: "one" }], more: [{ name: "one/", type: "directory" }] }),
    message: /is no file of the archive/,
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
    message: /a layer has diff ID .*: it was damaged/,
  },
  { what: "a config that isn't its name's", archive: () => saved({ config: other }), message: /was changed/ },
  {
    what: "an archive that was cut",
    archive: async () => (await saved()).subarray(0, 700),
    message: /is no whole tar archive/,
  },
  {
    what: "gzip that was cut",
    archive: async () => {
      const bytes = gzipSync(await saved());
      return bytes.subarray(0, bytes.length - 20);
    },
    message: /is no whole tar archive/,
  },
  {
    what: "what is no archive",
    archive: async () => Buffer.alloc(2048, "x"),
    message: /is no whole tar archive/,
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
  const opening = openImageArg({
    name: "image_args.base",
    path: folder.path,
    workspace: folder.path,
    platforms: [],
    signal,
  });
  await assert.rejects(opening, /image_args\.base: the folder holds no image; expected an OCI layout/);
  assert.deepEqual(await readdir(folder.path), []);
});
