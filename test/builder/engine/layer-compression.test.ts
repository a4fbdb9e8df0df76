import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync, gzipSync, zstdDecompressSync } from "node:zlib";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import type { DiffId } from "../../../src/image/digest.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { mediaTypes } from "../../../src/image/media-types.ts";
import { type MadeLayer, writeBlob, writeImageOf, writeIndex } from "../../support/images/image-writer.ts";
import { toolEnvironment } from "../../support/runs/test-step.ts";
import { type BuildkitDaemon, startBuildkitd } from "../../support/servers/buildkit.ts";

const blocks = 3;
/** Ends each block of a layer: an empty stored block of deflate (RFC 1951), which begins at a byte. */
const endOfBlock = Buffer.from([0, 0, 0xff, 0xff]);

interface Layer {
  readonly digest: string;
  readonly blob: Buffer;
  readonly diffId: string;
}

async function readJson(file: string) {
  return JSON.parse(await readFile(file, "utf8"));
}

/** Builds the folder's Dockerfile, whatever the daemon has of it already, and answers the last layer. */
async function buildLayer(
  daemon: BuildkitDaemon,
  folder: string,
  { layout, compression }: { readonly layout: string; readonly compression: "gzip" | "zstd" },
): Promise<Layer> {
  const inputs = ["--local", `context=${folder}`, "--local", `dockerfile=${folder}`];
  const output = ["--output", `type=oci,tar=false,dest=${layout},compression=${compression}`];
  const build = ["--addr", daemon.address, "build", "--no-cache", "--frontend", "dockerfile.v0"];
  await execa("buildctl", [...build, ...inputs, ...output], { env: toolEnvironment() });
  const blob = (digest: string) => join(layout, "blobs", digest.replace(":", "/"));
  const index = await readJson(join(layout, "index.json"));
  const manifest = await readJson(blob(index.manifests[0].digest));
  const config = await readJson(blob(manifest.config.digest));
  const { digest } = manifest.layers.at(-1);
  return { digest, blob: await readFile(blob(digest)), diffId: config.rootfs.diff_ids.at(-1) };
}

/** Builds a layer of this text twice with each of several numbers of processors, and answers it. They all have to be equal. */
async function sameLayer(text: string, compression: "gzip" | "zstd"): Promise<Layer> {
  await using folder = await createPrivateFolder("test-layers");
  const app = join(folder.path, "app");
  await mkdir(app);
  await writeFile(join(app, "text"), text);
  await writeFile(join(app, "Dockerfile"), "FROM scratch\nCOPY text /text\n");
  const layers: Layer[] = [];
  for (const processors of ["1", "2", "5"]) {
    await using daemon = await startBuildkitd({ env: { GOMAXPROCS: processors } });
    for (const round of [1, 2]) {
      const layout = join(folder.path, `layout-${processors}-${round}`);
      layers.push(await buildLayer(daemon, app, { layout, compression }));
    }
  }
  const [first] = layers;
  assert.ok(first !== undefined);
  assert.deepEqual(new Set(layers.map(({ digest }) => digest)), new Set([first.digest]));
  return first;
}

const line = (index: number) => `${(index * 7919) % 10_007} ${index % 97}\n`;

test("a layer has the same bytes each time it is built, however many processors compress it", async () => {
  const text = Array.from({ length: 350_000 }, (_, index) => line(index)).join("");
  assert.ok(text.length > (blocks - 1) << 20 && text.length < blocks << 20, String(text.length));
  const { blob, diffId } = await sameLayer(text, "gzip");
  assert.equal(digestOf(gunzipSync(blob)), diffId);
  assert.equal(blob.readUInt32LE(4), 0, "the time in the header of gzip");
  // Go's own writer, which takes one processor, ends no blocks before the last.
  let found = 0;
  for (let at = blob.indexOf(endOfBlock); at !== -1; at = blob.indexOf(endOfBlock, at + 1)) found++;
  assert.ok(found >= blocks, `${found} blocks`);
});

test("so has a layer that is compressed with zstd", async () => {
  // Several of the parts of 8 MB that are compressed at once.
  const text = Array.from({ length: 3_000_000 }, (_, index) => line(index)).join("");
  assert.ok(text.length > 20 << 20, String(text.length));
  const { blob, diffId } = await sameLayer(text, "zstd");
  assert.equal(digestOf(zstdDecompressSync(blob)), diffId);
  // RFC 8878, 3.1.1.1.2: a window of 2 MB, an eighth of which each part has in common with the one before.
  assert.equal(blob.readUInt8(5), 11 << 3);
});

/** Builds on an image of this one layer, whose blob may differ from what its diff ID says, and answers what it prints. */
async function buildOn(daemon: BuildkitDaemon, folder: string, { tar, blob }: { tar: Buffer; blob: Buffer }) {
  const layout = join(folder, "base");
  await mkdir(join(layout, "blobs/sha256"), { recursive: true });
  const descriptor = await writeBlob(layout, mediaTypes.ociLayerGzip, blob);
  const layer: MadeLayer = { descriptor, diffId: digestOf(tar) as DiffId, tar };
  const { manifest } = await writeImageOf(layout, [layer]);
  await writeIndex(layout, [manifest]);
  await writeFile(join(folder, "Dockerfile"), "FROM base\nCOPY --from=base /text /copied\n");
  const inputs = ["--local", `context=${folder}`, "--local", `dockerfile=${folder}`];
  const base = [
    "--oci-layout",
    `base=${layout}`,
    "--opt",
    `context:base=oci-layout://base@${manifest.digest}`,
  ];
  const build = ["--addr", daemon.address, "build", "--frontend", "dockerfile.v0"];
  return execa("buildctl", [...build, ...inputs, ...base], {
    env: toolEnvironment(),
    all: true,
    reject: false,
  });
}

test("a base's layer is decompressed by igzip, and one that is damaged fails the build with igzip's words", async () => {
  await using folder = await createPrivateFolder("test-layers");
  const bin = join(folder.path, "bin");
  const runs = join(folder.path, "runs");
  await mkdir(bin);
  const { stdout: igzip } = await execa("sh", ["-c", "command -v igzip"], { env: toolEnvironment() });
  await writeFile(join(bin, "igzip"), `#!/bin/sh\necho "$@" >>${runs}\nexec ${igzip} "$@"\n`, {
    mode: 0o755,
  });
  const { PATH } = toolEnvironment();
  await using daemon = await startBuildkitd({ env: { PATH: `${bin}:${PATH}` } });
  // Each has a diff ID of its own: BuildKit unpacks none twice.
  const pack = async (name: string): Promise<Buffer> => {
    const content = join(folder.path, `content-${name}`);
    await mkdir(content);
    await writeFile(join(content, "text"), randomBytes(3 << 20));
    const { stdout } = await execa("tar", ["-c", "-C", content, "text"], { encoding: "buffer" });
    return Buffer.from(stdout);
  };
  const whole = await pack("good");
  const good = await buildOn(daemon, join(folder.path, "good"), { tar: whole, blob: gzipSync(whole) });
  assert.equal(good.exitCode, 0, good.all);
  assert.match(await readFile(runs, "utf8"), /^-d -c\n/);
  const tar = await pack("cut");
  const blob = gzipSync(tar);
  const cut = { tar, blob: blob.subarray(0, blob.length / 2) };
  const bad = await buildOn(daemon, join(folder.path, "cut"), cut);
  assert.equal(bad.exitCode, 1, bad.all);
  assert.match(bad.all, /exit status \d+: igzip: /);
  // What comes after the last member of the archive is read to its end, and belongs to the diff ID.
  const short = await pack("longer");
  const longer = { tar: short, blob: gzipSync(Buffer.concat([short, Buffer.alloc(1024)])) };
  const other = await buildOn(daemon, join(folder.path, "longer"), longer);
  assert.equal(other.exitCode, 1, other.all);
  assert.match(other.all, /failed to verify layer .*: expected diffID/);
});
