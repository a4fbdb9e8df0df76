import assert from "node:assert/strict";
import { copyFile, cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { shell } from "../support/runs/put-and-get.ts";
import { runResource } from "../support/runs/resource.ts";

type Params = Readonly<Record<string, string>>;

/** A task's folder: `app` with a Dockerfile after the stage `shell`, and the empty folder `cache`. */
async function makeTask(dockerfile: string) {
  const folder = await createPrivateFolder("test-cache");
  const app = join(folder.path, "app");
  await mkdir(app);
  await mkdir(join(folder.path, "cache"));
  await writeFile(join(app, "Dockerfile"), shell + dockerfile);
  await copyFile("/bin/busybox", join(app, "busybox"));
  return {
    path: folder.path,
    app,
    cache: join(folder.path, "cache"),
    /** Runs the task, as on a worker that has kept nothing but `cache`; answers its log. */
    async build(params: Params = {}, under: readonly string[] = []): Promise<string> {
      await rm(join(folder.path, "image"), { recursive: true, force: true });
      const env = { CONTEXT: "app", NO_COLOR: "1", ...params };
      const run = await runResource("build", { cwd: folder.path, env, under });
      assert.equal(run.status, 0, run.output);
      assert.deepEqual(run.leftovers, []);
      return run.stderr.trimEnd();
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** Bytes that a folder holds. */
async function sizeOf(folder: string): Promise<number> {
  const { stdout } = await execa("du", ["-sb", folder]);
  return Number.parseInt(stdout, 10);
}

/**
 * Gives a task its kept cache as Concourse does from the second run on: as an overlayfs, in a mount namespace of the
 * run's own, over what the runs before have left.
 */
async function overlays(folder: string): Promise<() => Promise<string[]>> {
  const lowers = [join(dirname(folder), "lower")];
  await rename(folder, join(dirname(folder), "lower"));
  await mkdir(folder);
  return async () => {
    const [upper, work] = [`upper-${lowers.length}`, `work-${lowers.length}`].map((name) =>
      join(dirname(folder), name),
    ) as [string, string];
    for (const made of [upper, work]) await mkdir(made);
    const options = `lowerdir=${lowers.join(":")},upperdir=${upper},workdir=${work}`;
    lowers.unshift(upper);
    const script = 'mount -t overlay -o "$1" overlay "$2" && shift 2 && exec "$@"';
    return ["unshare", "--mount", "sh", "-c", script, "sh", options, folder];
  };
}

test("a task's cache folder keeps its steps for the next run", async () => {
  await using task = await makeTask("RUN echo once > /result\n");
  assert.match(await task.build({ OUTPUT_OCI: "true" }), /: 3 steps run, 0 of 3 cached$/m);
  await cp(join(task.path, "image"), join(task.path, "first"), { recursive: true });
  assert.match(await task.build({ OUTPUT_OCI: "true" }), /: 0 steps run, 3 of 3 cached$/m);
  const digests = ["first", "image"].map((name) => readFile(join(task.path, name, "digest"), "utf8"));
  const [first, second] = await Promise.all(digests);
  assert.equal(second, first);
});

test("without a cache folder every step runs anew, and none is made", async () => {
  await using task = await makeTask("RUN echo once > /result\n");
  await rm(task.cache, { recursive: true });
  for (const _ of ["first", "second"]) assert.match(await task.build(), /: 3 steps run, 0 of 3 cached$/m);
  await assert.rejects(readdir(task.cache), { code: "ENOENT" });
});

test("a cache that is a folder of the disk at first and an overlayfs later loses no step and no deletion", async () => {
  const dockerfile = `RUN echo gone > /gone && echo kept > /kept
RUN rm /gone
COPY word /word
RUN ls / > /result && cat /word >> /result
`;
  await using task = await makeTask(dockerfile);
  const root = { UNPACK_ROOTFS: "true" };
  await writeFile(join(task.app, "word"), "one\n");
  assert.match(await task.build(root), /: 6 steps run, 0 of 6 cached$/m);
  const overlay = await overlays(task.cache);
  assert.match(await task.build(root, await overlay()), /: 0 steps run, 6 of 6 cached$/m);
  await writeFile(join(task.app, "word"), "two\n");
  assert.match(await task.build(root, await overlay()), /: 2 steps run, 4 of 6 cached$/m);
  const said = await readFile(join(task.path, "image/rootfs/result"), "utf8");
  assert.match(said, /^kept$/m);
  assert.doesNotMatch(said, /^gone$/m);
  assert.match(said, /^two$/m);
});

test("a cache holds what the last build has used, and grows no further", async () => {
  const dockerfile = `FROM shell AS one
COPY noise /noise
FROM shell AS two
RUN echo two > /two
`;
  await using task = await makeTask(dockerfile);
  const noise = () =>
    writeFile(join(task.app, "noise"), crypto.getRandomValues(Buffer.alloc(65_536)).toString("hex"));
  await noise();
  await task.build({ TARGET: "one", ADDITIONAL_TARGETS: "two" });
  const size = await sizeOf(task.cache);
  for (const _ of ["second", "third"]) {
    await noise();
    await task.build({ TARGET: "one", ADDITIONAL_TARGETS: "two" });
  }
  // 128 KiB of noise, and documents whose sizes differ by some bytes.
  assert.ok(
    Math.abs((await sizeOf(task.cache)) - size) < 10_000,
    `${size}, then ${await sizeOf(task.cache)}`,
  );
  await task.build({ TARGET: "two" });
  assert.ok((await sizeOf(task.cache)) < size - 65_536);
  assert.match(await task.build({ TARGET: "two" }), /: 0 steps run, 3 of 3 cached$/m);
});

test("a failed build leaves the cache to the next one", async () => {
  await using task = await makeTask("RUN echo once > /result\nCOPY word /word\nRUN grep good /word\n");
  await writeFile(join(task.app, "word"), "good");
  assert.match(await task.build(), /: 5 steps run, 0 of 5 cached$/m);
  await writeFile(join(task.app, "word"), "bad");
  const failed = await runResource("build", { cwd: task.path, env: { CONTEXT: "app" } });
  assert.equal(failed.status, 1);
  await writeFile(join(task.app, "word"), "good");
  assert.match(await task.build(), /: 0 steps run, 5 of 5 cached$/m);
});

test("a damaged cache costs a warning and is written anew", async () => {
  await using task = await makeTask("RUN echo once > /result\nCOPY word /word\nRUN cat /word\n");
  await writeFile(join(task.app, "word"), "one");
  await task.build();
  const { stdout } = await execa("find", [task.cache, "-path", "*blobs/sha256/*", "-size", "-64k"]);
  for (const blob of stdout.split("\n")) await writeFile(blob, "damaged");
  await writeFile(join(task.app, "word"), "two");
  assert.match(await task.build(), /warning: .*\n(.*\n)*built in .*: 5 steps run, 0 of 5 cached$/m);
  assert.match(await task.build(), /: 0 steps run, 5 of 5 cached$/m);
});

test("a cache inside of the context isn't a part of it", async () => {
  await using task = await makeTask("COPY . /all\nRUN find /all > /result\n");
  await copyFile("/bin/busybox", join(task.path, "busybox"));
  await writeFile(join(task.path, "kept"), "");
  await writeFile(join(task.path, "ignored"), "");
  await writeFile(join(task.path, "cache/kept"), "");
  await writeFile(join(task.path, ".dockerignore"), "ignored\n");
  const params = { CONTEXT: ".", DOCKERFILE: "app/Dockerfile", UNPACK_ROOTFS: "true" };
  assert.match(await task.build(params), /: 4 steps run, 0 of 4 cached$/m);
  assert.match(await task.build(params), /: 0 steps run, 4 of 4 cached$/m);
  const found = (await readFile(join(task.path, "image/rootfs/result"), "utf8")).split("\n");
  const cached = found.filter((path) => path.startsWith("/all/cache"));
  assert.deepEqual(cached.toSorted(), ["/all/cache", "/all/cache/kept"]);
  assert.ok(found.includes("/all/kept"));
  assert.ok(!found.includes("/all/ignored"));
});

test("a task's cache folder keeps the content of cache mounts too, as a folder of the disk and as an overlayfs", async () => {
  await using task = await makeTask(
    "ARG round\nRUN --mount=type=cache,target=/m --mount=type=cache,target=/large echo $round >> /m/rounds; cp /m/rounds /result; truncate -s 3000000000 /large/f\n",
  );
  const build = (round: string, under: string[] = []) =>
    task.build({ BUILD_ARG_round: round, UNPACK_ROOTFS: "true" }, under);
  const first = await build("1");
  assert.match(first, /^cache mounts: 0 restored, 0 B; 1 saved, 2 B$/m);
  assert.match(
    first,
    /^warning: cache mount \/large not saved: its 3\.0 GB are more than the 2g \(2\.1 GB\) that a task keeps: let/m,
  );
  assert.match(await build("2"), /^cache mounts: 1 restored, 2 B; 1 saved, 4 B(; steps .*)?$/m);
  assert.deepEqual((await readdir(join(task.cache, "oci-build"))).toSorted(), ["cache", "cache.mounts"]);
  const overlay = await overlays(task.cache);
  for (const round of ["3", "4"]) await build(round, await overlay());
  assert.equal(await readFile(join(task.path, "image/rootfs/result"), "utf8"), "1\n2\n3\n4\n");
});
