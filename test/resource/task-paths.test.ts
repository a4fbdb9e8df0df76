import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { assertFailedCleanly, type Run, runResource } from "../support/runs/resource.ts";

/** A task's folder `task` with the input `app`, and beside it what a config may mount. */
async function makeTask() {
  const folder = await createPrivateFolder("test-paths");
  const path = join(folder.path, "task");
  const write = async (name: string, content: string) => {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
  };
  await write("app/Dockerfile", "FROM scratch\nARG A=none\nLABEL a=$A\nCOPY Dockerfile /\n");
  return {
    path,
    write,
    link: (name: string, target: string) => symlink(target, join(path, name)),
    run: (env: Readonly<Record<string, string>>, under: readonly string[] = []): Promise<Run> =>
      runResource("build", { cwd: path, under, env: { NO_COLOR: "1", CONTEXT: "app", ...env } }),
    labels: async () => JSON.parse(await readFile(join(path, "image/labels.json"), "utf8")) as unknown,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

function assertBuilt(run: Run): void {
  assert.equal(run.status, 0, run.output);
}

test("a task's paths may lead out of its folder, as its author writes them", async () => {
  await using task = await makeTask();
  await task.write("../src/Other", "FROM scratch\nCOPY here /\nLABEL from=other\n");
  await task.write("../src/here", "");
  await task.write("../args", "A=above\n");
  assertBuilt(await task.run({ CONTEXT: "../src", DOCKERFILE: "../src/Other" }));
  assert.deepEqual(await task.labels(), { from: "other" });
  assertBuilt(await task.run({ BUILD_ARGS_FILE: "../args" }));
  assert.deepEqual(await task.labels(), { a: "above" });
  assertBuilt(await task.run({ BUILD_ARGS_FILE: join(task.path, "../args") }));
  assertFailedCleanly(
    await task.run({ CONTEXT: "../none" }),
    /^error: CONTEXT: there is no folder "\.\.\/none"/m,
  );
  assertFailedCleanly(
    await task.run({ CONTEXT: "/no-such-folder/src" }),
    /^error: CONTEXT: there is no folder "\/no-such-folder\/src"; "\/" holds: .*\bproc\b/m,
  );
  assertFailedCleanly(
    await task.run({ CONTEXT: "/app" }),
    /^error: CONTEXT: there is no folder "\/app"; .*; "app" is in the task's folder: leave out the first "\/"$/m,
  );
});

test("a link in a task's input leads to other inputs, wherever they are mounted", async () => {
  await using task = await makeTask();
  await task.write("other/args", "A=other\n");
  await task.link("app/sibling", "../other/args");
  assertBuilt(await task.run({ BUILD_ARGS_FILE: "app/sibling" }));
  assert.deepEqual(await task.labels(), { a: "other" });
  const mounted = join(task.path, "../mounted");
  await mkdir(mounted);
  await task.link("app/away", join(mounted, "args"));
  const script = 'mount -t tmpfs none "$1" && echo A=mounted > "$1/args" && shift && exec "$@"';
  assertBuilt(
    await task.run({ BUILD_ARGS_FILE: "app/away" }, [
      "unshare",
      "--mount",
      "sh",
      "-c",
      script,
      "sh",
      mounted,
    ]),
  );
  assert.deepEqual(await task.labels(), { a: "mounted" });
});

test("a link in a task's input leads neither to the system's files nor to the step's own", async () => {
  await using task = await makeTask();
  await task.link("hop", "/proc/self");
  const targets = [
    "/proc/self/environ",
    "/proc/version",
    "/sys/kernel/mm/transparent_hugepage/enabled",
  ].concat(["/etc/passwd", "../hop/environ", "/dev/zero"]);
  for (const [index, target] of targets.entries()) {
    await task.link(`app/link-${index}`, target);
    const run = await task.run({ BUILD_ARGS_FILE: `app/link-${index}` });
    assertFailedCleanly(run, /^error: BUILD_ARGS_FILE: .* symlink that leads out of the task's inputs/m);
  }
  await task.link("app/folder", "/etc");
  assertFailedCleanly(
    await task.run({ CONTEXT: "app/folder" }),
    /CONTEXT: .* leads out of the task's inputs/,
  );
  assertFailedCleanly(
    await task.run({ BUILDKIT_SECRET_x: "app/folder/shadow" }),
    /BUILDKIT_SECRET_x: .* leads out/,
  );
  // What the author writes is the author's.
  assertBuilt(await task.run({ BUILDKIT_SECRET_x: "/etc/passwd" }));
});

test("a task reads BUILD_ARGS, LABELS and IMAGE_ARGS as lists, beside single ones, and a put does too", async () => {
  await using task = await makeTask();
  const lists = { BUILD_ARGS: "A=x y ,B=2", BUILD_ARG_C: "3", LABELS: "one=1,two=a=b", LABEL_three: "3" };
  assertBuilt(await task.run(lists));
  assert.deepEqual(await task.labels(), { a: "x y ", one: "1", two: "a=b", three: "3" });
  await cp(join(task.path, "image"), join(task.path, "base"), { recursive: true });
  await task.write("on/Dockerfile", "ARG base\nFROM $base\n");
  assertBuilt(await task.run({ CONTEXT: "on", IMAGE_ARGS: "base=base/image.tar" }));
  assert.deepEqual(await task.labels(), { a: "x y ", one: "1", two: "a=b", three: "3" });
  assertFailedCleanly(
    await task.run({ BUILD_ARGS: "A" }),
    /^error: BUILD_ARGS: expected name=value, separated by commas/m,
  );
  assertFailedCleanly(
    await task.run({ CONTEXT: "on", IMAGE_ARGS: "base=none" }),
    /^error: IMAGE_ARGS, base: there is no/m,
  );
  const source = { directory: join(task.path, "../builds") };
  const params = { CONTEXT: "app", ...lists };
  const put = await runResource("out", { args: [task.path], stdin: { source, params } });
  assertBuilt(put);
});

test("a task's variables have the other spellings that the oci-build task reads", async () => {
  await using task = await makeTask();
  const spelt = { unpack_rootfs: "true", BUILDARGSFILE: "args", labels: "one=1", targetfile: "" };
  await task.write("args", "A=file\n");
  assertBuilt(await task.run(spelt));
  assert.deepEqual(await task.labels(), { a: "file", one: "1" });
  assert.deepEqual(await readdir(join(task.path, "image/rootfs")), ["Dockerfile"]);
  assertFailedCleanly(
    await task.run({ UNPACKROOTFS: "true", UNPACK_ROOTFS: "false" }),
    /^error: \w+ and \w+ are two spellings of UNPACK_ROOTFS: remove one$/m,
  );
});

test("the layer cache that the oci-build task has left is removed, and isn't a part of the context", async () => {
  await using task = await makeTask();
  await mkdir(join(task.path, "cache"));
  assertBuilt(await task.run({}));
  const cache = join(task.path, "cache");
  await cp(join(cache, "oci-build/cache"), cache, { recursive: true });
  await task.write("Dockerfile", "FROM scratch\nCOPY . /\n");
  const run = await task.run({ CONTEXT: ".", UNPACK_ROOTFS: "true" });
  assertBuilt(run);
  assert.match(run.stderr, /^removed the layer cache that the oci-build task has left in cache\/$/m);
  assert.deepEqual(await readdir(cache), ["oci-build"]);
  assert.deepEqual(await readdir(join(task.path, "image/rootfs/cache")), []);
  // A layout that isn't such a cache is somebody's file.
  await rm(cache, { recursive: true });
  await mkdir(cache);
  await task.write("cache/index.json", '{"schemaVersion":2,"manifests":[]}');
  assertBuilt(await task.run({}));
  assert.deepEqual((await readdir(cache)).toSorted(), ["index.json", "oci-build"]);
});
