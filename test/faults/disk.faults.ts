import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { pushLayout, writeLayout } from "../support/images/image-writer.ts";
import { withDisk, withListedDisk } from "../support/runs/disks.ts";
import { makeSite, type Site } from "../support/runs/put-and-get.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { startRegistry } from "../support/servers/registry.ts";

const dockerfile = "FROM scratch\nCOPY noise /noise\nCOPY Dockerfile /\n";

/** A site whose image has a layer of a megabyte that nothing makes smaller. */
async function makeNoise(): Promise<Site> {
  const site = await makeSite("");
  await writeFile(join(site.inputs, "app/noise"), randomBytes(randomFrom(3), 1 << 20));
  return site;
}

const full = /: the disk is full, \d+ of its \d+ bytes are free/;

/** Runs on disks of one, two … inodes until one is enough; each must fail cleanly before. */
async function untilEnough(limit: number, run: (inodes: number) => Promise<Run>): Promise<number> {
  for (let inodes = 2; ; inodes++) {
    assert.ok(inodes < limit, `${inodes} inodes are not enough`);
    const ended = await run(inodes);
    if (ended.status === 0) return inodes;
    assertFailedCleanly(ended, full);
  }
}

test("a put whose store runs out of room, at any file, says so and stores nothing", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeNoise();
  const store = join(site.folder, "builds");
  await mkdir(store);
  const listing = join(site.folder, "listing");
  const put = (options: string) =>
    site.put(
      { dockerfile_inline: dockerfile },
      { buildkit: { address: daemon.address } },
      { under: withListedDisk(store, options, listing) },
    );
  for (const size of ["8k", "500k"]) {
    assertFailedCleanly(await put(`size=${size}`), full);
    assert.equal(await readFile(listing, "utf8"), "");
  }
  const enough = await untilEnough(60, async (inodes) => {
    const run = await put(`nr_inodes=${inodes}`);
    if (run.status !== 0) assert.equal(await readFile(listing, "utf8"), "");
    return run;
  });
  assert.ok(enough > 10, `${enough} inodes`);
});

test("a get whose destination runs out of room, at any file, says so and delivers nothing", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeNoise();
  const put = await site.put({ dockerfile_inline: dockerfile }, { buildkit: { address: daemon.address } });
  const { version } = versionOf(put);
  const to = join(site.folder, "got");
  await mkdir(to);
  const listing = join(site.folder, "listing");
  for (const params of [{ unpack_rootfs: true }, { output_oci: true }]) {
    const get = (options: string) =>
      runResource("in", {
        args: [to],
        stdin: { source: site.source, version, params },
        under: withListedDisk(to, options, listing),
      });
    for (const size of ["4k", "500k", "1000k"]) {
      assertFailedCleanly(await get(`size=${size}`), full);
      assert.equal(await readFile(listing, "utf8"), "");
    }
    await untilEnough(60, async (inodes) => {
      const run = await get(`nr_inodes=${inodes}`);
      if (run.status !== 0) assert.equal(await readFile(listing, "utf8"), "");
      return run;
    });
  }
});

test("a get of many files runs out of room while its threads write, and says so", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeNoise();
  await mkdir(join(site.inputs, "app/many"));
  const random = randomFrom(4);
  for (let file = 0; file < 300; file++)
    await writeFile(join(site.inputs, `app/many/${file}`), randomBytes(random, 10_000));
  const put = await site.put(
    { dockerfile_inline: `${dockerfile}COPY many /many\n` },
    { buildkit: { address: daemon.address } },
  );
  const to = join(site.folder, "got");
  await mkdir(to);
  const listing = join(site.folder, "listing");
  for (const options of ["size=3m", "size=2500k", "nr_inodes=150", "nr_inodes=14"]) {
    const run = await runResource("in", {
      args: [to],
      stdin: {
        source: site.source,
        version: versionOf(put).version,
        params: { unpack_rootfs: true, image_tar: false },
      },
      under: withListedDisk(to, options, listing),
    });
    assertFailedCleanly(run, full);
    assert.equal(await readFile(listing, "utf8"), "");
  }
});

test("a folder for temporary files without room is named, in a put and in a get from a registry", async () => {
  await using daemon = await startBuildkitd();
  await using registry = await startRegistry();
  const store = { repository: `${registry.host}/team/app`, insecure: true };
  await using site = await makeSite("", store);
  const temporary = join(site.folder, "temporary");
  await mkdir(temporary);
  const put = (under: readonly string[]) =>
    site.put(
      { dockerfile_inline: "FROM scratch\nCOPY Dockerfile /\n", secrets: { a: { text: "x" } } },
      { buildkit: { address: daemon.address } },
      { under, env: { TMPDIR: temporary } },
    );
  await untilEnough(40, (inodes) => put(withDisk(temporary, `nr_inodes=${inodes}`)));
  const { version } = versionOf(await put([]));
  await untilEnough(40, (inodes) =>
    runResource("in", {
      args: [join(site.folder, `get-${inodes}`)],
      stdin: { source: site.source, version },
      under: withDisk(temporary, `nr_inodes=${inodes}`),
      env: { TMPDIR: temporary },
    }),
  );
});

test("disks that are mounted read-only are named: store, destination, temporary files", async () => {
  await using site = await makeNoise();
  const readOnly = /: (the disk is mounted read-only|can't be written \(EROFS\))/;
  const store = join(site.folder, "builds");
  await mkdir(store);
  const params = { dockerfile_inline: dockerfile };
  assertFailedCleanly(await site.put(params, {}, { under: withDisk(store, "ro") }), readOnly);
  const put = await site.put(params);
  const { version } = versionOf(put);
  const to = join(site.folder, "got");
  await mkdir(to);
  const get = { args: [to], stdin: { source: site.source, version, params: { unpack_rootfs: true } } };
  assertFailedCleanly(await runResource("in", { ...get, under: withDisk(to, "ro") }), readOnly);
  assert.deepEqual(await readdir(to), []);
  const temporary = join(site.folder, "temporary");
  await mkdir(temporary);
  assertFailedCleanly(
    await site.put(params, {}, { under: withDisk(temporary, "ro"), env: { TMPDIR: temporary } }),
    readOnly,
  );
});

test("a build that fills the disk of the step's own BuildKit is told which disk is full", async () => {
  await using site = await makeSite("RUN dd if=/dev/zero of=/big bs=1M count=64\n");
  const run = await site.put({}, {}, { under: withDisk("/var/lib", "size=30m") });
  assertFailedCleanly(run, /\/var\/lib\/\S+: the disk is full, \d+ of its \d+ bytes are free/);
});

// BuildKit has removed what it unpacked when it tells so, and the disk has room again.
test("a base that finds no room where it is unpacked isn't told as damaged", async () => {
  await using registry = await startRegistry();
  await using site = await makeSite("");
  const folder = join(site.folder, "base");
  await writeLayout(folder, { layers: [[{ name: "big", content: Buffer.alloc(64 << 20) }]] });
  const base = `${registry.host}/base:1`;
  await pushLayout(folder, base);
  const run = await site.put(
    { context: undefined, dockerfile_inline: `FROM ${base}\nCOPY --from=${base} /big /copy\n` },
    {},
    { under: withDisk("/var/lib", "size=30m") },
  );
  assertFailedCleanly(
    run,
    /BuildKit can't unpack a layer \(write \/big: no space left on device\): the disk on which it keeps layers is full/,
  );
});

test("a task whose image or temporary files have no room is told which disk is full, and how full", async () => {
  await using site = await makeNoise();
  await writeFile(join(site.inputs, "app/Dockerfile"), dockerfile);
  const temporary = join(site.folder, "temporary");
  const image = join(site.inputs, "image");
  await mkdir(temporary);
  await mkdir(image);
  const build = (disk: string, options: string, env: Readonly<Record<string, string>> = {}) =>
    runResource("build", {
      cwd: site.inputs,
      env: { CONTEXT: "app", NO_COLOR: "1", ...env },
      under: withDisk(disk, options),
    });
  const none = /image\.tar: the disk is full, 0 of its 1044480 bytes are free; 10\d+ bytes are to be written/;
  assertFailedCleanly(await build(image, "size=1020k"), none);
  for (const size of ["4k", "64k", "1020k"])
    assertFailedCleanly(
      await build(temporary, `size=${size}`, { TMPDIR: temporary }),
      new RegExp(`${temporary}/\\S+: the disk is full, \\d+ of its \\d+ bytes are free`),
    );
  assert.deepEqual((await readdir(site.inputs)).toSorted(), ["app", "image"]);
  assert.deepEqual(await readdir(image), []);
});

test("a layer cache whose disk is full or read-only is done without", async () => {
  await using site = await makeNoise();
  await writeFile(join(site.inputs, "app/Dockerfile"), dockerfile);
  const cache = join(site.inputs, "cache");
  await mkdir(cache);
  for (const options of ["size=500k", "nr_inodes=4", "ro"]) {
    const env = { CONTEXT: "app", NO_COLOR: "1" };
    const run = await runResource("build", { cwd: site.inputs, env, under: withDisk(cache, options) });
    assert.equal(run.status, 0, run.output);
    assert.match(run.stderr, /warning: .*(no space left on device|read-only file system)/);
  }
});
