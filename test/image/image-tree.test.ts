import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { Descriptor } from "../../src/image/descriptor.ts";
import { type ImageTree, readTree, versionOf } from "../../src/image/image-tree.ts";
import { layoutBlobs } from "../../src/image/layout.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { reachableBlobs } from "../../src/image/reachable.ts";
import { writeDocument, writeImage } from "../support/images/image-writer.ts";

const { signal } = new AbortController();
const recipe = { layers: [[{ name: "file", content: "x" }]] };
const onPlatform = (architecture: string) => ({ ...recipe, platform: { os: "linux", architecture } });

interface Blobs {
  readonly folder: string;
  readonly index: (...manifests: readonly Descriptor[]) => Promise<Descriptor>;
  readonly tree: (top: Descriptor) => Promise<ImageTree>;
}

async function withBlobs(work: (blobs: Blobs) => Promise<void>): Promise<void> {
  await using temporary = await createPrivateFolder("test-resolve");
  const folder = temporary.path;
  await mkdir(join(folder, "blobs/sha256"), { recursive: true });
  const mediaType = mediaTypes.ociIndex;
  await work({
    folder,
    index: (...manifests) => writeDocument(folder, mediaType, { schemaVersion: 2, mediaType, manifests }),
    tree: async (top) => readTree(layoutBlobs(folder), top, signal),
  });
}

const architectures = ({ images }: ImageTree) => images.map(({ platform }) => platform.architecture);

const unknown = { os: "unknown", architecture: "unknown" };

interface Attestation {
  readonly about: Descriptor;
  readonly config?: object;
  readonly layerType?: string;
  readonly entry?: Partial<Descriptor>;
}

/** An attestation as BuildKit writes it (docs/attestations/attestation-storage.md), or with something else in it. */
async function attestation(
  folder: string,
  { about, config, layerType, entry }: Attestation,
): Promise<Descriptor> {
  const statement = await writeDocument(folder, layerType ?? "application/vnd.in-toto+json", {
    about: about.digest,
  });
  const rootfs = { type: "layers", diff_ids: [statement.digest] };
  const manifest = await writeDocument(folder, mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: await writeDocument(folder, mediaTypes.ociConfig, { ...unknown, config: {}, rootfs, ...config }),
    layers: [statement],
  });
  const annotations = {
    "vnd.docker.reference.type": "attestation-manifest",
    "vnd.docker.reference.digest": about.digest,
  };
  return { ...manifest, platform: unknown, annotations, ...entry };
}

test("the version is the config's digest over every compression, and with attestations", async () => {
  await withBlobs(async ({ folder, index, tree }) => {
    const versions = new Set<string>();
    for (const compression of ["gzip", "zstd", "none"] as const) {
      const image = await writeImage(folder, { ...recipe, compression });
      const about = await attestation(folder, { about: image.manifest });
      versions.add(versionOf(await tree(image.manifest)));
      versions.add(versionOf(await tree(await index(image.manifest))));
      const attested = await tree(await index(image.manifest, about));
      assert.deepEqual(attested.attestations, [about]);
      versions.add(versionOf(attested));
      versions.add(versionOf(await tree(await index(about, image.manifest))));
      versions.add(image.config.digest);
    }
    assert.equal(versions.size, 1);
  });
});

test("what only calls itself an attestation isn't passed over: the version is then the index's digest", async () => {
  await withBlobs(async ({ folder, index, tree }) => {
    const good = await writeImage(folder, recipe);
    const evil = await writeImage(folder, { layers: [[{ name: "file", content: "evil" }]] });
    const about = good.manifest;
    const { annotations } = await attestation(folder, { about });
    const entries: readonly Descriptor[] = [
      // A runnable image by its platform, by its config alone, and by its layers alone.
      { ...evil.manifest, ...(annotations && { annotations }) },
      { ...evil.manifest, platform: unknown, ...(annotations && { annotations }) },
      await attestation(folder, { about, config: { os: "linux", architecture: "amd64" } }),
      await attestation(folder, { about, config: { architecture: "amd64" } }),
      await attestation(folder, { about, layerType: mediaTypes.ociLayerGzip }),
      await attestation(folder, { about, layerType: mediaTypes.dockerLayerGzip }),
      // About nothing of this index.
      await attestation(folder, { about: evil.manifest }),
      await attestation(folder, { about, entry: { annotations: {} } }),
      await attestation(folder, { about, entry: { platform: { os: "linux", architecture: "amd64" } } }),
      { ...evil.manifest, mediaType: "application/octet-stream" },
    ];
    for (const [at, entry] of entries.entries()) {
      const top = await index(about, entry);
      const found = await tree(top);
      assert.equal(versionOf(found), top.digest, `entry ${at}`);
      assert.deepEqual(found.attestations, [], `entry ${at}`);
    }
  });
});

test("an index of two manifests with one config is refused", async () => {
  await withBlobs(async ({ folder, index, tree }) => {
    const one = await writeImage(folder, recipe);
    const other = await writeImage(folder, { ...recipe, compression: "zstd" });
    await assert.rejects(
      tree(await index(one.manifest, other.manifest)),
      /two manifests with the config sha256:/,
    );
  });
});

test("the version of several platforms is their index's digest", async () => {
  await withBlobs(async ({ folder, index, tree }) => {
    const one = await writeImage(folder, onPlatform("amd64"));
    const two = await writeImage(folder, onPlatform("arm64"));
    const top = await index(one.manifest, two.manifest);
    assert.equal(versionOf(await tree(top)), top.digest);
  });
});

test("images of nested indexes come in their order, each once, and what else there is comes aside", async () => {
  await withBlobs(async ({ folder, index, tree }) => {
    const images = new Map<string, Descriptor>();
    for (const name of ["amd64", "arm64", "s390x"])
      images.set(name, (await writeImage(folder, onPlatform(name))).manifest);
    const [amd64, arm64, s390x] = [...images.values()] as [Descriptor, Descriptor, Descriptor];
    const mediaType = mediaTypes.ociManifest;
    const chart = await writeDocument(folder, "application/vnd.cncf.helm.config.v1+json", {});
    const artifact = await writeDocument(folder, mediaType, {
      schemaVersion: 2,
      mediaType,
      config: chart,
      layers: [],
    });
    const other = await writeDocument(folder, "application/octet-stream", { other: true });
    const top = await index(await index(s390x, amd64), artifact, amd64, other, await index(arm64, s390x));
    const found = await tree(top);
    assert.deepEqual(architectures(found), ["s390x", "amd64", "arm64"]);
    assert.deepEqual(
      found.strays.map(({ digest }) => digest),
      [artifact.digest, other.digest],
    );
    assert.equal(found.indexes.length, 3);
    assert.equal(found.indexes[0]?.descriptor.digest, top.digest);
    const blobs = await reachableBlobs(layoutBlobs(folder), found, signal);
    const digests = blobs.map(({ descriptor }) => descriptor.digest);
    assert.equal(new Set(digests).size, digests.length);
    // Three indexes, three images (manifest and config) over one layer, the artifact with its config, the other.
    assert.equal(digests.length, 3 + 3 * 2 + 1 + 2 + 1);
  });
});

test("the platform of an image is what its config says, whatever the index says", async () => {
  await withBlobs(async ({ folder, index, tree }) => {
    const { manifest } = await writeImage(folder, onPlatform("arm64"));
    const top = await index({ ...manifest, platform: { os: "linux", architecture: "amd64" } });
    assert.deepEqual(architectures(await tree(top)), ["arm64"]);
  });
});

test("an abort ends the reading", async () => {
  await withBlobs(async ({ folder, index }) => {
    const { manifest } = await writeImage(folder, recipe);
    const top = await index(manifest);
    const reading = readTree(layoutBlobs(folder), top, AbortSignal.abort(new Error("stop")));
    await assert.rejects(reading, /stop/);
  });
});
