import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Descriptor } from "../../src/image/descriptor.ts";
import { hexOf } from "../../src/image/digest.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import {
  packTar,
  pushLayout,
  writeDocument,
  writeImageOf,
  writeIndex,
  writeLayer,
  writeLayout,
} from "../support/images/image-writer.ts";
import { makeSite, type Site } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, type Run } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [registry] = await untilTestsEnd(startRegistry({ takesUrls: true }));

/** A Dockerfile that needs the base's files, and one that only pushes its layers. */
const uses = {
  "in a step": (base: string) => `FROM ${base}\nCOPY app /app\n`,
  pushed: (base: string) => `FROM ${base}\n`,
};

/** A put into a registry, of a Dockerfile on a base there. */
function putOn(site: Site, dockerfile: string): Promise<Run> {
  const source = { repository: `${registry.host}/built`, insecure: true };
  return site.put({ context: ".", dockerfile_inline: dockerfile }, { ...source, directory: undefined });
}

/** Pushes an image whose layer lies at an address where nobody answers. */
async function pushForeign(folder: string, reference: string): Promise<void> {
  const { images } = await writeLayout(folder, { layers: [[{ name: "file", content: reference }]] });
  const [{ config, layers } = assert.fail()] = images;
  const [made = assert.fail()] = layers;
  await rm(join(folder, "blobs/sha256", hexOf(made.descriptor.digest)));
  const layer = {
    ...made.descriptor,
    mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    urls: ["http://127.0.0.1:1/layer.tar.gz"],
  };
  const mediaType = mediaTypes.dockerManifest;
  const manifest = { schemaVersion: 2, mediaType, config: { ...config, mediaType: mediaTypes.dockerConfig } };
  await writeIndex(folder, [await writeDocument(folder, mediaType, { ...manifest, layers: [layer] })]);
  await pushLayout(folder, reference);
}

for (const [at, [how, dockerfileOn]] of Object.entries(uses).entries()) {
  test(`a base with a layer outside its registry, where nobody answers, is told: ${how}`, async () => {
    await using site = await makeSite("");
    const base = `${registry.host}/foreign-${at}:1`;
    await pushForeign(join(site.folder, "base"), base);
    assertFailedCleanly(
      await putOn(site, dockerfileOn(base)),
      at === 0
        ? /a layer of a base image can't be fetched: it is kept at http:\/\/127\.0\.0\.1:1\/layer\.tar\.gz, to which .*let BuildKit reach that host; or use a copy of the base that has all its layers, or name another in FROM/
        : /a layer of a base image can't be fetched: its registry has no sha256:\w+, .*push the base again with all its layers, or name another in FROM/,
    );
  });

  test(`a base with a layer that its registry has lost is told: ${how}`, async () => {
    await using site = await makeSite("");
    const folder = join(site.folder, "base");
    const base = `${registry.host}/lost-${at}:1`;
    const { images } = await writeLayout(folder, { layers: [[{ name: "file", content: base }]] });
    await pushLayout(folder, base);
    const hex = hexOf(images[0]?.layers[0]?.descriptor.digest ?? assert.fail());
    await rm(join(registry.folder, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex), {
      recursive: true,
    });
    assertFailedCleanly(
      await putOn(site, dockerfileOn(base)),
      new RegExp(
        `a layer of a base image can't be fetched: its registry has no sha256:${hex}, .*push the base again`,
      ),
    );
  });
}

/** Uploads bytes to a repository of the registry, and answers their descriptor. */
async function upload(repository: string, algorithm: string, bytes: Buffer): Promise<Descriptor> {
  const started = await fetch(`${registry.url}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  const place = new URL(started.headers.get("location") ?? assert.fail());
  const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
  place.searchParams.set("digest", digest);
  const { status } = await fetch(place, { method: "PUT", body: Uint8Array.from(bytes) });
  assert.equal(status, 201);
  return { mediaType: mediaTypes.ociLayerGzip, digest: digest as Descriptor["digest"], size: bytes.length };
}

test("a layer whose digest the registry can't keep is told at the first push", async () => {
  await using site = await makeSite("");
  const folder = join(site.folder, "base");
  await writeLayout(folder);
  const made = await writeLayer(folder, await packTar([{ name: "file", content: "sha512" }]));
  const { config } = await writeImageOf(folder, [made]);
  const layer = await upload("longer", "sha512", gzipSync(made.tar));
  await upload("longer", "sha256", await readFile(join(folder, "blobs/sha256", hexOf(config.digest))));
  const mediaType = mediaTypes.ociManifest;
  const manifest = { schemaVersion: 2, mediaType, config, layers: [layer] };
  const { status } = await fetch(`${registry.url}/v2/longer/manifests/1`, {
    method: "PUT",
    headers: { "content-type": mediaType },
    body: JSON.stringify(manifest),
  });
  assert.equal(status, 201);
  const put = await putOn(site, `FROM ${registry.host}/longer:1\n`);
  assertFailedCleanly(
    put,
    /the base image has a layer whose digest is a sha512, and the registry can't keep such layers/,
  );
  assert.doesNotMatch(put.stderr, /pushing again/);
});
