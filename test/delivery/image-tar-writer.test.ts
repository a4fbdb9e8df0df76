import assert from "node:assert/strict";
import { mkdir, readdir, readFile, truncate } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { execa } from "execa";
import { writeImageTar } from "../../src/delivery/image-tar-writer.ts";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { Descriptor } from "../../src/image/descriptor.ts";
import { digestOf } from "../../src/image/digest.ts";
import { type Image, readTree } from "../../src/image/image-tree.ts";
import { blobPath, layoutBlobs } from "../../src/image/layout.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { parseReference } from "../../src/image/reference.ts";
import { openVerified } from "../../src/image/verify.ts";
import {
  type Compression,
  type MadeLayer,
  writeImageOf,
  writeLayer,
} from "../support/images/image-writer.ts";
import { regctl } from "../support/images/regctl.ts";
import { toolEnvironment } from "../support/runs/test-step.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startRegistry } from "../support/servers/registry.ts";
import { readMembers } from "../support/tar/archives.ts";

const { signal } = new AbortController();
const [registry] = await untilTestsEnd(startRegistry());

interface Made {
  readonly image: Image;
  readonly folder: string;
  readonly layers: readonly MadeLayer[];
}

/** An image in a layout, each layer with one file of its own and in the compression named. */
async function makeImage(folder: string, compressions: readonly Compression[], same = false): Promise<Made> {
  await mkdir(join(folder, "blobs/sha256"), { recursive: true });
  const layers: MadeLayer[] = [];
  for (const [index, compression] of compressions.entries()) {
    const name = same ? "file" : `file-${index}`;
    layers.push(await writeLayer(folder, [{ name, content: name.repeat(1000) }], { compression }));
  }
  const { manifest } = await writeImageOf(folder, layers);
  const { images } = await readTree(layoutBlobs(folder), manifest, signal);
  return { image: images[0], folder, layers };
}

async function archiveOf({ image, folder }: Made, file: string, tags: readonly string[] = []) {
  const blobs = layoutBlobs(folder);
  const names = tags.map((tag) => parseReference(tag, "tag"));
  return writeImageTar({ image, blobs, file, tags: names, signal });
}

function run(program: string, ...args: readonly string[]) {
  return execa(program, args, { env: toolEnvironment() });
}

const plainOf: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  "1f8b": gunzipSync,
  "28b5": zstdDecompressSync,
};

/** Each layer that a registry has of an image, by the diff ID of its bytes. */
async function pushedDiffIds(reference: string): Promise<string[]> {
  const manifest = await regctl(registry.host, ["manifest", "get", "--format", "raw-body", reference]);
  const { layers } = JSON.parse(manifest) as { layers: Descriptor[] };
  const [repository = ""] = reference.split(/:(?=[^:/]+$)/);
  const path = repository.slice(registry.host.length + 1);
  return Promise.all(
    layers.map(async ({ digest, mediaType }) => {
      const answer = await fetch(`${registry.url}/v2/${path}/blobs/${digest}`);
      const bytes = Buffer.from(await answer.arrayBuffer());
      const decompress = plainOf[bytes.subarray(0, 2).toString("hex")];
      assert.equal(/gzip$|zstd$/.test(mediaType), decompress !== undefined, `${mediaType} of ${digest}`);
      return digestOf(decompress?.(bytes) ?? bytes);
    }),
  );
}

const mixtures: readonly (readonly Compression[])[] = [
  [],
  ["gzip"],
  ["zstd"],
  ["none"],
  ["gzip", "zstd", "none"],
  ["zstd", "gzip"],
  ["none", "gzip"],
  ["none", "none", "zstd"],
];

for (const mixture of mixtures) {
  const what = mixture.join(", ") || "none at all";
  test(`image.tar with layers in ${what} is read by skopeo and pushed by go-containerregistry`, async () => {
    await using temporary = await createPrivateFolder("test-archive");
    const { path } = temporary;
    const made = await makeImage(join(path, "layout"), mixture);
    const { config } = made.image.manifest;
    const file = join(path, "image.tar");
    await archiveOf(made, file);
    // skopeo checks each layer of a docker-archive against its diff ID, and each blob of an oci-archive.
    for (const transport of ["docker-archive", "oci-archive"]) {
      const copy = join(path, transport);
      await run("skopeo", "copy", "--insecure-policy", `${transport}:${file}`, `dir:${copy}`);
      const { config: copied } = JSON.parse(await readFile(join(copy, "manifest.json"), "utf8")) as {
        config: Descriptor;
      };
      assert.equal(copied.digest, config.digest, transport);
    }
    // As the registry-image resource does: its tarball.ImageFromPath and remote.Write are crane's.
    const reference = `${registry.host}/mixtures:${mixture.join("-") || "none-at-all"}`;
    await run("crane", "push", file, reference);
    assert.deepEqual(
      await pushedDiffIds(reference),
      made.layers.map(({ diffId }) => diffId),
    );
  });
}

test("the same image and names give the same bytes, and no member is there twice", async () => {
  await using temporary = await createPrivateFolder("test-archive");
  const { path } = temporary;
  const made = await makeImage(join(path, "layout"), ["gzip", "none", "gzip", "zstd"], true);
  const tags = ["registry.example:5000/team/app:1", "docker.io/library/debian:12"];
  const files = [join(path, "one.tar"), join(path, "two.tar")] as const;
  for (const file of files) await archiveOf(made, file, tags);
  assert.ok((await readFile(files[0])).equals(await readFile(files[1])));

  const members = await readMembers(await readFile(files[0]));
  const names = members.map(({ name }) => name);
  assert.deepEqual(names.slice(0, 5), [
    "oci-layout",
    "index.json",
    "manifest.json",
    "blobs/",
    "blobs/sha256/",
  ]);
  assert.equal(new Set(names).size, names.length);
  for (const { mode, uid, gid, mtime } of members) {
    assert.deepEqual([uid, gid, mtime?.getTime()], [0, 0, 0]);
    assert.ok(mode === 0o644 || mode === 0o755);
  }
  const documentOf = (wanted: string): unknown =>
    JSON.parse(members.find(({ name }) => name === wanted)?.bytes.toString() ?? "");
  const [docker] = documentOf("manifest.json") as [{ RepoTags: unknown; Layers: string[]; Config: string }];
  assert.deepEqual(docker.RepoTags, ["registry.example:5000/team/app:1", "debian:12"]);
  assert.equal(docker.Config, blobPath(made.image.manifest.config.digest));
  // All four are one archive: go-containerregistry knows them by their diff ID alone.
  assert.deepEqual(new Set(docker.Layers).size, 1);
  const index = documentOf("index.json") as { manifests: Descriptor[] };
  assert.deepEqual(
    index.manifests.map(({ digest, annotations }) => ({ digest, annotations })),
    [
      {
        digest: made.image.descriptor.digest,
        annotations: {
          "io.containerd.image.name": "registry.example:5000/team/app:1",
          "org.opencontainers.image.ref.name": "1",
        },
      },
    ],
  );
});

test("the layers of an image.tar can be read from it", async () => {
  await using temporary = await createPrivateFolder("test-archive");
  const made = await makeImage(join(temporary.path, "layout"), ["none", "gzip", "zstd"]);
  const blobs = await archiveOf(made, join(temporary.path, "image.tar"));
  for (const { descriptor } of made.layers) {
    assert.equal((await buffer(await openVerified(blobs, descriptor, signal))).length, descriptor.size);
  }
});

test("a damaged layer leaves no image.tar, and an older one as it was", async () => {
  await using temporary = await createPrivateFolder("test-archive");
  const { path } = temporary;
  const made = await makeImage(join(path, "layout"), ["gzip", "gzip"]);
  const file = join(path, "image.tar");
  await archiveOf(made, file);
  const older = await readFile(file);
  const last = made.layers[1]?.descriptor;
  assert.equal(last?.mediaType, mediaTypes.ociLayerGzip);
  await truncate(join(made.folder, blobPath(last.digest)), 10);
  await assert.rejects(archiveOf(made, file), /it ends after 10 of its \d+ bytes/);
  assert.ok((await readFile(file)).equals(older));
  assert.deepEqual((await readdir(path)).toSorted(), ["image.tar", "layout"]);
});

test("an abort as a layer is opened ends the archive, and not the process", async () => {
  await using folder = await createPrivateFolder("test-archive");
  const { image } = await makeImage(join(folder.path, "layout"), ["none"]);
  const blobs = layoutBlobs(join(folder.path, "layout"));
  for (const [where, inFile] of [
    ["in a file", true],
    ["from a network", false],
  ] as const) {
    const aborter = new AbortController();
    const aborted = <T>(value: T): T => {
      aborter.abort();
      return value;
    };
    const open: typeof blobs.open = (...asked) => aborted(blobs.open(...asked));
    const file: typeof blobs.file = (asked) => (inFile ? aborted(blobs.file(asked)) : undefined);
    const archive = { image, blobs: { ...blobs, open, file }, tags: [], signal: aborter.signal };
    const writing = writeImageTar({ ...archive, file: join(folder.path, "image.tar") });
    await assert.rejects(writing, { name: "AbortError" }, where);
    // An error that nobody has heard comes a turn later.
    await nextTurn();
    assert.deepEqual(await readdir(folder.path), ["layout"], where);
  }
});
