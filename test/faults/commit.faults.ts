import assert from "node:assert/strict";
import { copyFile, readdir, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { makeSite, type Site } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, runResource, versionOf } from "../support/runs/resource.ts";
import { injecting } from "../support/runs/strace.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";

const dockerfile = (content: string) => `FROM scratch\nCOPY Dockerfile /\nLABEL content=${content}\n`;

async function getIsWhole(site: Site, version: unknown): Promise<void> {
  const to = join(site.folder, `get-${crypto.randomUUID()}`);
  versionOf(await runResource("in", { args: [to], stdin: { source: site.source, version } }));
}

interface Kill {
  readonly site: Site;
  readonly buildkit: object;
  readonly content: string;
}

/** Puts again and again, killed (SIGKILL) at its first, second … such call, until one isn't; answers how many were. */
async function killAtEachCall(
  { site, buildkit, content }: Kill,
  after: () => Promise<void>,
): Promise<number> {
  for (let call = 1; ; call++) {
    assert.ok(call < 200, "the put never comes to its end");
    const calls = "fsync,rename,renameat,renameat2,rmdir,unlink,unlinkat,mkdir";
    const run = await site.put(
      { dockerfile_inline: dockerfile(content), no_cache: true, source_date_epoch: 1 },
      { buildkit },
      // Calls are counted by thread, so Node gets one for all of its file calls.
      {
        under: injecting(calls, `signal=SIGKILL:when=${call}`),
        env: { UV_THREADPOOL_SIZE: "1" },
      },
    );
    await after();
    if (run.status === 0) return call - 1;
  }
}

test("a put that is killed at any call leaves the store as it was or with the whole new build", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("");
  const buildkit = { address: daemon.address };
  const first = versionOf(await site.put({ dockerfile_inline: dockerfile("old") }, { buildkit }));
  const directory = join(site.folder, "builds");
  const killed = await killAtEachCall({ site, buildkit, content: "new" }, async () => {
    await getIsWhole(site, first.version);
    for (const name of await readdir(directory)) {
      if (!name.startsWith(".")) await getIsWhole(site, { digest: name.replace("build-", "sha256:") });
    }
  });
  assert.ok(killed > 15, `only ${killed} calls`);
  assert.equal((await readdir(directory)).filter((name) => !name.startsWith(".")).length, 2);
});

test("a put of the same build that is killed at any call leaves it whole", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("");
  const buildkit = { address: daemon.address };
  const params = { dockerfile_inline: dockerfile("same"), source_date_epoch: 1 };
  const { version } = versionOf(await site.put(params, { buildkit }));
  const killed = await killAtEachCall({ site, buildkit, content: "same" }, () => getIsWhole(site, version));
  assert.ok(killed > 15, `only ${killed} calls`);
  const names = await readdir(join(site.folder, "builds"));
  assert.deepEqual(names, [`build-${version.digest.slice("sha256:".length)}`]);
});

test("of twenty puts at once, equal and different, none is lost", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("");
  const buildkit = { address: daemon.address };
  const runs = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      site.put({ dockerfile_inline: dockerfile(String(index % 5)), source_date_epoch: 1 }, { buildkit }),
    ),
  );
  const versions = new Set(runs.map((run) => versionOf(run).version.digest));
  assert.equal(versions.size, 5);
  const names = (await readdir(join(site.folder, "builds"))).filter((name) => !name.startsWith("."));
  assert.deepEqual(
    names.map((name) => name.replace("build-", "sha256:")).toSorted(),
    [...versions].toSorted(),
  );
  for (const digest of versions) await getIsWhole(site, { digest });
});

test("where the filesystem can't exchange two folders, a build of the same version is replaced all the same", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("");
  const buildkit = { address: daemon.address };
  const params = { dockerfile_inline: dockerfile("same"), source_date_epoch: 1 };
  const { version } = versionOf(await site.put(params, { buildkit }));
  for (const error of ["EINVAL", "ENOSYS", "EOPNOTSUPP"]) {
    const under = injecting("renameat2", `error=${error}`);
    assert.deepEqual(versionOf(await site.put(params, { buildkit }, { under })).version, version);
    await getIsWhole(site, version);
    assert.deepEqual(await readdir(join(site.folder, "builds")), [
      `build-${version.digest.slice("sha256:".length)}`,
    ]);
  }
});

test("where the filesystem can't lock folders, a put says so and leaves nothing", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("");
  const run = await site.put(
    { dockerfile_inline: dockerfile("any") },
    { buildkit: { address: daemon.address } },
    { under: injecting("flock", "error=EBADF") },
  );
  assertFailedCleanly(run, /its disk can't lock folders \(flock: EBADF\).*use a local disk, or a registry/);
  assert.deepEqual(await readdir(join(site.folder, "builds")), []);
});

const damages: Readonly<Record<string, (file: string, other: string) => Promise<void>>> = {
  cut: async (file) => truncate(file, Math.floor((await stat(file)).size / 2)),
  emptied: (file) => truncate(file, 0),
  zeroed: async (file) => writeFile(file, Buffer.alloc((await stat(file)).size)),
  "swapped for another": (file, other) => copyFile(other, file),
  removed: (file) => rm(file),
};

test("a stored build with a blob that is cut, zeroed, swapped or gone is refused by the blob's name, and the next put mends it", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("");
  const buildkit = { address: daemon.address };
  const params = { dockerfile_inline: `${dockerfile("same")}COPY busybox /\n`, source_date_epoch: 1 };
  const { version } = versionOf(await site.put(params, { buildkit }));
  const blobs = join(
    site.folder,
    "builds",
    `build-${version.digest.slice("sha256:".length)}`,
    "blobs/sha256",
  );
  const names = (await readdir(blobs)).toSorted();
  assert.equal(names.length, 4); // Manifest, config and two layers.
  for (const [index, name] of names.entries()) {
    for (const [what, damage] of Object.entries(damages)) {
      await damage(join(blobs, name), join(blobs, names.at(index - 1) ?? ""));
      const to = join(site.folder, "refused");
      const run = await runResource("in", { args: [to], stdin: { source: site.source, version } });
      assertFailedCleanly(run, new RegExp(name));
      assert.deepEqual(await readdir(to).catch(() => []), [], what);
      assert.deepEqual(versionOf(await site.put(params, { buildkit })).version, version);
      await getIsWhole(site, version);
    }
  }
});
