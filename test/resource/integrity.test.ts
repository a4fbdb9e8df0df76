import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import type { Descriptor } from "../../src/image/descriptor.ts";
import { hexOf } from "../../src/image/digest.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { packTar, writeBlob, writeDocument, writeIndex } from "../support/images/image-writer.ts";
import { makeSite, type Site } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [registry] = await untilTestsEnd(startRegistry());

const stores: Readonly<Record<string, () => Readonly<Record<string, unknown>> | undefined>> = {
  "a directory": () => undefined,
  "a registry": () => ({ repository: `${registry.host}/app-${crypto.randomUUID()}`, insecure: true }),
};

/** The build that others rely on: one file, and the same config at each put. */
const goodBuild = { params: { reproducible: true }, dockerfile: "FROM scratch\nCOPY a /a\n" } as const;

async function putGood(site: Site, more: object = {}): Promise<Run> {
  await writeFile(join(site.inputs, "app/a"), "GOOD\n");
  await writeFile(join(site.inputs, "app/Dockerfile"), goodBuild.dockerfile);
  return site.put({ ...goodBuild.params, ...more });
}

/** Writes an input `evil`: a layout whose image has the config of what was put, over another layer. */
async function writeImpostor(
  site: Site,
  good: Run,
  into = site,
  content = Buffer.from("EVIL\n"),
): Promise<void> {
  const { version } = versionOf(good);
  const to = join(site.folder, "config-of");
  const stdin = { source: site.source, version, params: { output_oci: true } };
  versionOf(await runResource("in", { args: [to], stdin }));
  const config = await readFile(
    join(to, "image/blobs/sha256", hexOf(version.digest as Descriptor["digest"])),
  );
  const folder = join(into.inputs, "evil");
  await mkdir(join(folder, "blobs/sha256"), { recursive: true });
  const layers = [await writeBlob(folder, mediaTypes.ociLayer, await packTar([{ name: "a", content }]))];
  const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, layers };
  const named = { ...manifest, config: await writeBlob(folder, mediaTypes.ociConfig, config) };
  await writeIndex(folder, [await writeDocument(folder, mediaTypes.ociManifest, named)]);
}

async function putImpostor(site: Site): Promise<Run> {
  await writeFile(join(site.inputs, "app/Dockerfile"), "ARG base\nFROM $base\n");
  return site.put({ image_args: { base: "evil" } });
}

async function fileOf(site: Site, put: Run): Promise<string> {
  const folder = await site.get(put, { unpack_rootfs: true });
  const { stdout } = await execa("tar", ["-tf", join(folder, "image.tar")]);
  assert.match(stdout, /manifest\.json/);
  return readFile(join(folder, "rootfs/a"), "utf8");
}

for (const [store, sourceOf] of Object.entries(stores)) {
  test(`in ${store}, a put with another compression proves layers that are large`, async () => {
    await using site = await makeSite("", sourceOf());
    await writeFile(join(site.inputs, "app/Dockerfile"), "FROM scratch\nCOPY busybox /a\n");
    const good = await site.put(goodBuild.params);
    const { version } = versionOf(good);
    const plain = await site.put({ ...goodBuild.params, compression: "uncompressed" });
    assert.deepEqual(versionOf(plain).version, version);
    const folder = await site.get(plain);
    assert.deepEqual(await readFile(join(folder, "rootfs/a")), await readFile("/bin/busybox"));
    await writeImpostor(site, good, site, Buffer.alloc(2_000_000, "EVIL\n"));
    assertFailedCleanly(await putImpostor(site), /has its config over other layers, so it is not stored/);
  });
}

for (const [store, source] of Object.entries(stores)) {
  test(`in ${store}, an image with a stored build's config over other layers doesn't replace it`, async () => {
    await using site = await makeSite("", source());
    const good = await putGood(site);
    await writeImpostor(site, good);
    const evil = await putImpostor(site);
    assertFailedCleanly(
      evil,
      /is stored already, and what was built has its config over other layers.*not stored/,
    );
    assert.equal(await fileOf(site, good), "GOOD\n");
    // Another compression of the same image replaces it.
    const again = await putGood(site, { compression: { type: "zstd", force: true } });
    assert.deepEqual(versionOf(again).version, versionOf(good).version);
    assert.equal(await fileOf(site, again), "GOOD\n");
  });

  test(`in ${store}, such an image is delivered in no form, and gives way to a good build`, async () => {
    await using elsewhere = await makeSite("", source());
    await using site = await makeSite("", source());
    await writeImpostor(elsewhere, await putGood(elsewhere), site);
    const evil = await putImpostor(site);
    const { version } = versionOf(evil);
    for (const params of [
      {},
      { output_oci: true },
      { unpack_rootfs: true },
      { unpack_rootfs: true, image_tar: false },
    ]) {
      const stdin = { source: site.source, version, params };
      const got = await runResource("in", { args: [join(site.folder, "refused")], stdin });
      assertFailedCleanly(got, /holds an archive of digest sha256:.*, the image's config says sha256:/);
    }
    const good = await putGood(site);
    assert.deepEqual(versionOf(good).version, version);
    assert.equal(await fileOf(site, good), "GOOD\n");
  });
}
