import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { assertFailedCleanly, type Run, runResource } from "../support/runs/resource.ts";

async function makeTask() {
  const folder = await createPrivateFolder("test-outputs");
  await mkdir(join(folder.path, "app"));
  const dockerfile = "FROM scratch AS one\nCOPY Dockerfile /one\nFROM one AS two\nCOPY Dockerfile /two\n";
  await writeFile(join(folder.path, "app/Dockerfile"), dockerfile);
  return {
    path: folder.path,
    run: (outputs: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Run> =>
      runResource("build", {
        cwd: folder.path,
        outputs,
        env: { NO_COLOR: "1", CONTEXT: "app", TARGET: "two", ADDITIONAL_TARGETS: "one", ...env },
      }),
    holds: async (name: string) => (await readdir(join(folder.path, name))).includes("image.tar"),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test("a task without an output builds, and delivers nothing of it", async () => {
  await using task = await makeTask();
  const none = await task.run([]);
  assert.equal(none.status, 0, none.output);
  assert.match(none.stderr, /COPY Dockerfile \/two/);
  assert.match(none.stderr, /built, but not delivered: the task has no output "image"$/m);
  assert.match(none.stderr, /built, but not delivered: the task has no output "one"$/m);
  assert.deepEqual(await readdir(task.path), ["app"]);
  assert.deepEqual(none.leftovers, []);
});

test("a task delivers those targets that it has outputs for, and no others", async () => {
  await using task = await makeTask();
  const one = await task.run(["one"]);
  assert.equal(one.status, 0, one.output);
  assert.deepEqual(await readdir(task.path), ["app", "one"]);
  assert.ok(await task.holds("one"));
  const image = await task.run(["image"], { ADDITIONAL_TARGETS: "" });
  assert.equal(image.status, 0, image.output);
  assert.deepEqual((await readdir(task.path)).toSorted(), ["app", "image", "one"]);
  assert.ok(await task.holds("image"));
});

test("a build that fails is a failure without an output too", async () => {
  await using task = await makeTask();
  assertFailedCleanly(await task.run([], { TARGET: "three" }), /three/);
});

for (const name of ["image", "one"]) {
  test(`a file in the place of the output ${name} is refused before anything is built`, async () => {
    await using task = await makeTask();
    await writeFile(join(task.path, name), "");
    const run = await task.run([]);
    assertFailedCleanly(run, new RegExp(`^error: "${name}" in the task's folder is not a folder`, "m"));
    assert.doesNotMatch(run.stderr, /building/);
  });
}
