import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { putParams } from "../../src/request/put-params.ts";
import { assertFailedCleanly, type Run, runResource } from "../support/runs/resource.ts";
import { checkout } from "../support/runs/test-step.ts";

type Variables = Readonly<Record<string, string>>;

/** A variable of each param that a task has, with a value that is refused. Those of one list are refused together. */
const refused: readonly Variables[] = [
  {
    CONTEXT: "svn://svn.example/a",
    "BUILD_ARG_a b": "x",
    LABELS: "a",
    ADDITIONAL_TARGETS: "../x",
    IMAGE_ARG_base: "",
    IMAGE_PLATFORM: "linux",
    BUILDKIT_SECRET_npm: "",
    BUILDKIT_SSH: "default",
    BUILDKIT_ADD_HOSTS: "db=x",
    REGISTRY_MIRRORS: "me@mirror.example",
    UNPACK_ROOTFS: "maybe",
    OUTPUT_OCI: "maybe",
    FAIL_ON_WARNINGS: "maybe",
    SOURCE_POLICY: '{"rules": 1}',
    "BUILDKIT_OPTION_add-hosts": "x",
  },
  { BUILDKIT_EXTRA_CONFIG: "[", TARGET: "one", TARGET_FILE: "two" },
  { DOCKERFILE: "none" },
  { BUILD_ARGS_FILE: "none", LABELS_FILE: "none", TARGET_FILE: "none" },
];

const forms = Object.entries(putParams).map(([param, { upper }]) => ({ param, upper }));

async function task(env: Variables): Promise<Run> {
  await using folder = await createPrivateFolder("test-task");
  await writeFile(join(folder.path, "Dockerfile"), "FROM scratch\n");
  return await runResource("build", { cwd: folder.path, env: { NO_COLOR: "1", ...env } });
}

test("each param that a task has is refused by the name of its variable", async () => {
  const named = new Set<string>();
  for (const env of refused) {
    const run = await task(env);
    assertFailedCleanly(run, /^error: /);
    for (const name of Object.keys(env)) {
      const found = forms.find(({ upper }) =>
        upper.some((form) => (form.kind === "whole" ? form.name === name : name.startsWith(form.prefix))),
      );
      assert.ok(found !== undefined, name);
      assert.ok(run.stderr.includes(name), `${name}:\n${run.stderr}`);
      named.add(found.param);
    }
    for (const { param } of forms.filter(({ param: each }) => each.includes("_")))
      assert.doesNotMatch(run.stderr, new RegExp(`\\b${param}\\b`));
    assert.doesNotMatch(run.stderr, /\bparams\b|in the source/);
  }
  const all = forms.flatMap(({ param, upper }) => (upper.length === 0 ? [] : [param]));
  assert.deepEqual([...named].toSorted(), all.toSorted());
});

test("each param of a put is refused by its name there", async () => {
  const all = forms.map(({ param }) => param);
  // One message lists 20 faults at most.
  for (let at = 0; at < all.length; at += 10) {
    const some = all.slice(at, at + 10);
    const params = Object.fromEntries(some.map((param) => [param, [[]]]));
    const source = { repository: "registry.example/web" };
    const run = await runResource("out", { stdin: { source, params }, args: ["/"], env: { NO_COLOR: "1" } });
    assertFailedCleanly(run, /^error: /);
    for (const param of some) assert.match(run.stderr, new RegExp(`\\bparams\\.${param}[.:]`), param);
  }
});

test("no message that a put and a task share has the name of a param that a task's author gives by a variable", async () => {
  const shared = forms.flatMap(({ param, upper }) => (upper.length === 0 ? [] : [param])).join("|");
  const written = new RegExp(
    `[\`'"](?:params\\.)?(?:${shared})(?:: |\\.\\$\\{)|\\b(?:under|check|several) "(?:${shared})"|\\b(?:ssh|secrets): \\{`,
  );
  const files = globSync("src/{builder,commands}/**/*.ts", { cwd: checkout });
  assert.ok(files.length > 50);
  for (const file of files) {
    const lines = (await readFile(`${checkout}/${file}`, "utf8")).split("\n");
    const code = lines.filter((line) => !/^\s*(?:\/?\*|\/\/)/.test(line));
    assert.deepEqual(
      code.filter((line) => written.test(line)),
      [],
      file,
    );
  }
});
