import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { assertFailedCleanly, type Run, runResource } from "../support/runs/resource.ts";

/** Runs a task in a folder with the input `app`; answers also what lies in the folder after it. */
async function build(
  env: Readonly<Record<string, string>>,
  see?: (folder: string) => Promise<void>,
): Promise<Run & { readonly names: readonly string[] }> {
  await using folder = await createPrivateFolder("test-task");
  await mkdir(join(folder.path, "app"));
  await writeFile(join(folder.path, "app/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  const all = { NO_COLOR: "1", CONTEXT: "app", ...env };
  const outputs = see === undefined ? [] : ["image"];
  const run = await runResource("build", { cwd: folder.path, outputs, env: all });
  await see?.(folder.path);
  return { ...run, names: await readdir(folder.path) };
}

const refused: readonly (readonly [string, string, RegExp])[] = [
  [
    "IMAGE_PLATFORM",
    "linux/amd64,--output=type=local",
    /IMAGE_PLATFORM, item 2: expected os\[\(version\)\]\/architecture/,
  ],
  [
    "IMAGE_PLATFORM",
    "linux/amd64\u0007linux/arm64",
    /IMAGE_PLATFORM, item 1: expected os\[\(version\)\]\/architecture/,
  ],
  ["ADDITIONAL_TARGETS", "one,../two", /ADDITIONAL_TARGETS, item 2: expected the name of a stage/],
  [
    "ADDITIONAL_TARGETS",
    "image",
    /ADDITIONAL_TARGETS: the folder of "image" would take the place of the main target's own "image"/,
  ],
  [
    "ADDITIONAL_TARGETS",
    "cache",
    /ADDITIONAL_TARGETS: the folder of "cache" would take the place of the task's layer cache; give the stage another name/,
  ],
  ["BUILDKIT_SSH", "default", /BUILDKIT_SSH: expected id=path/],
  ["BUILDKIT_ADD_HOSTS", 'a=1"', /BUILDKIT_ADD_HOSTS, a\.0: expected an IP address/],
  ["BUILDKIT_SECRET_../x", "app/Dockerfile", /expected up to 200 letters, digits/],
  ["BUILDKIT_SECRETTEXT_a,b", "hunter2", /expected up to 200 letters, digits/],
  ["LABEL___proto__", "x", /^error: there is no LABEL___proto__$/m],
  ["UNPACK_ROOTFS", "maybe", /UNPACK_ROOTFS: expected true or false; found "maybe"/],
  [
    "BUILDKIT_EXTRA_CONFIG",
    'root = "/hunter2"',
    /BUILDKIT_EXTRA_CONFIG sets root, which the step itself sets/,
  ],
  [
    "CONTEXT",
    "https://me:hunter2@git.example/a",
    /is not a git URL: a git repository over https ends in "\.git"/,
  ],
  ["CONTEXT", "svn://me:hunter2@svn.example/a", /CONTEXT: BuildKit fetches nothing by svn:\/\//],
  ["DOCKERFILE", "../../../../etc", /DOCKERFILE: .* is a folder; expected a file/],
  ["BUILD_ARGS_FILE", "/dev/zero", /BUILD_ARGS_FILE: "\/dev\/zero" is neither file nor folder/],
  ["CONTEXT", "/dev/null", /CONTEXT: "\/dev\/null" is neither file nor folder; expected a folder/],
  ["TARGET", "--stage", /target stage "--stage" could not be found/],
];

for (const [name, value, message] of refused) {
  test(`a task's ${name}=${JSON.stringify(value).replace("hunter2", "…")} is refused with what to change`, async () => {
    const run = await build({ [name]: value });
    assertFailedCleanly(run, message);
    assert.doesNotMatch(run.output, /hunter2/);
    assert.deepEqual(run.names, ["app"]);
  });
}

test("a task's values keep their line breaks, quotes and separators, and variables of other names are none of it", async () => {
  const value = 'a,b="c"\n--output=x\\ é';
  const run = await build(
    {
      LABEL_note: value,
      "LABEL_org.example.a b": "x",
      "BUILDKIT_SECRETTEXT_npm-token": "x",
      BUILD_ARG: "x",
      LABEL_: "x",
      CONTEXTS: "x",
      TARGET: "",
      // What a shell in between would run.
      BASH_ENV: "/nonexistent",
      "BASH_FUNC_exec%%": "() { echo called; }",
    },
    async (folder) => {
      const labels: unknown = JSON.parse(await readFile(join(folder, "image/labels.json"), "utf8"));
      assert.deepEqual(labels, { note: value, "org.example.a b": "x" });
    },
  );
  assert.equal(run.status, 0, run.output);
  assert.equal(run.stdout, "");
});
