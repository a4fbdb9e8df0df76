import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { putParams } from "../../src/request/put-params.ts";
import { assertFailedCleanly, type Run, runResource } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
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

async function task(env: Variables, dockerfile = "FROM scratch\n"): Promise<Run> {
  await using folder = await createPrivateFolder("test-task");
  await writeFile(join(folder.path, "Dockerfile"), dockerfile);
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

const policy = { rules: [{ selector: { identifier: "docker-image://registry.example/*" } }] };

/** Values of which a put and a task warn, but which they take. */
const doubtful = {
  params: {
    build_args: { API_TOKEN: "x", ONE: "1 TWO=2" },
    labels: { build: "$BUILD_ID" },
    secrets: { npm: { text: "" } },
    options: { colour: "x" },
    source_policy: policy,
  },
  env: {
    BUILD_ARG_API_TOKEN: "x",
    BUILD_ARG_ONE: "1 TWO=2",
    LABEL_build: "$BUILD_ID",
    BUILDKIT_SECRETTEXT_npm: "",
    BUILDKIT_OPTION_colour: "x",
    SOURCE_POLICY: JSON.stringify(policy),
  },
  dockerfile: "FROM scratch\nARG ONE\nARG TWO\nCOPY Dockerfile /\n",
};

/** What each names in its warnings, in the order of these. */
const warned: readonly (readonly [put: string, task: string])[] = [
  ["labels.build: $BUILD_ID stays", "LABEL_build: $BUILD_ID stays"],
  ["use secrets: {api_token: {text: …}}, and", "use BUILDKIT_SECRETTEXT_api_token: …, and"],
  ["build_args.API_TOKEN: no ARG", "BUILD_ARG_API_TOKEN: no ARG"],
  ["build_args.ONE: its value", "BUILD_ARG_ONE: its value"],
  ["secrets.npm: its text is empty", "BUILDKIT_SECRETTEXT_npm: its text is empty"],
  ["secrets.npm: no RUN", "BUILDKIT_SECRETTEXT_npm: no RUN"],
  ["options.colour: BuildKit's", "BUILDKIT_OPTION_colour: BuildKit's"],
  ["source_policy: rules.0: there is no action", "SOURCE_POLICY: rules.0: there is no action"],
];

test("warnings name a put's params, and a task's variables", async () => {
  const { params, env, dockerfile } = doubtful;
  await using store = await createPrivateFolder("test-store");
  const put = await smallPut({ source: { directory: join(store.path, "web") }, params, dockerfile });
  const runs = [put, await task(env, dockerfile)];
  for (const [index, run] of runs.entries()) {
    assert.equal(run.status, 0, run.output);
    const warnings = run.stderr.split("\n").filter((line) => line.startsWith("warning: "));
    assert.equal(warnings.length, warned.length, run.output);
    for (const [at, words] of warned.entries())
      assert.ok(warnings[at]?.includes(words[index] ?? "-"), `${words[index]}\n${warnings.join("\n")}`);
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
