import assert from "node:assert/strict";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { assertFailedCleanly, type Run, runResource } from "../support/runs/resource.ts";

/** The folder of a put with files of some paths. */
async function makeInputs(...files: readonly string[]) {
  const folder = await createPrivateFolder("test-slips");
  const inputs = join(folder.path, "inputs");
  await mkdir(inputs);
  for (const file of files) {
    await mkdir(join(inputs, file, ".."), { recursive: true });
    await writeFile(join(inputs, file), "FROM scratch\nCOPY Dockerfile /\n");
  }
  return {
    inputs,
    put: (params: Readonly<Record<string, unknown>>): Promise<Run> =>
      runResource("out", {
        args: [inputs],
        env: { NO_COLOR: "1" },
        stdin: { source: { directory: join(folder.path, "builds") }, params },
      }),
    task: (env: Readonly<Record<string, string>>): Promise<Run> =>
      runResource("build", { cwd: inputs, outputs: [], env: { NO_COLOR: "1", ...env } }),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test("a dockerfile written as a path from the context on is answered with its path", async () => {
  await using site = await makeInputs("src/Dockerfile", "src/docker/App");
  for (const [given, path] of [
    ["Dockerfile", "src/Dockerfile"],
    ["docker/App", "src/docker/App"],
  ] as const) {
    const run = await site.put({ context: "src", dockerfile: given });
    assertFailedCleanly(
      run,
      new RegExp(
        `dockerfile: there is no file "${given}" in the put's folder, but ${path} is there: write dockerfile: ${path},`,
      ),
    );
    assert.doesNotMatch(run.stderr, /inputs:/);
  }
  assertFailedCleanly(
    await site.task({ CONTEXT: "src", DOCKERFILE: "Dockerfile" }),
    /^error: DOCKERFILE: there is no file "Dockerfile" in the task's folder, but src\/Dockerfile is there: write DOCKERFILE: src\/Dockerfile,/m,
  );
  assertFailedCleanly(
    await site.put({ context: "src", dockerfile: "other/Dockerfile" }),
    /artifact "other" is not among/,
  );
});

test("without a context the input that has a Dockerfile is suggested", async () => {
  await using site = await makeInputs("repo/Dockerfile", "other/README");
  assertFailedCleanly(
    await site.put({}),
    /contains no file named Dockerfile: .*; repo has one: write context: repo$/m,
  );
  await writeFile(join(site.inputs, "other/Dockerfile"), "");
  assertFailedCleanly(await site.put({}), /; other has one, repo has one: write context: other or repo$/m);
});

test("a put without inputs is told of it", async () => {
  await using site = await makeInputs("repo/Dockerfile");
  await rm(join(site.inputs, "repo"), { recursive: true });
  assertFailedCleanly(
    await site.put({}),
    /the put has no inputs, so there is no Dockerfile: add "inputs: \[NAME\]"/,
  );
});

test("a name that YAML has made a boolean is told to be quoted", async () => {
  await using site = await makeInputs("repo/Dockerfile");
  const run = await site.put({ context: "repo", build_args: { false: "1" } });
  assertFailedCleanly(
    run,
    /params\.build_args\.false: .* YAML makes of y, n, yes, no, on and off: put such a name in quotes/,
  );
});

test("the path of a file in the place of a version is told how to be read", async () => {
  await using site = await makeInputs("repo/Dockerfile");
  const run = await site.put({ context: "repo", version: "version/number" });
  assertFailedCleanly(
    run,
    /params\.version: .* load the file by a load_var step and write its \(\(\.:name\)\) here/,
  );
});

test("a secret's variable that isn't set is named, but not a text that can't be a name", async () => {
  await using site = await makeInputs("repo/Dockerfile");
  const secretOf = (env: string) => site.put({ context: "repo", secrets: { token: { env } } });
  assertFailedCleanly(
    await secretOf("NOPE"),
    /secrets\.token: the step's environment has no variable "NOPE"; give the secret itself, as \{text: \(\(name\)\)\} or \{file: path\}$/m,
  );
  const pasted = await secretOf("pa$$word-1");
  assertFailedCleanly(pasted, /secrets\.token: the step's environment has no variable of this name/);
  assert.doesNotMatch(pasted.output, /pa\$\$word/);
});

/** Secrets as they are: none is a path. */
const secretTexts = [
  "canary-secret",
  "Y2FuYXJ5/canary+canary==",
  "/9j/canary",
  "./canary/x",
  "canary\ncanary/canary\n",
  "app\ncanary",
  "canary".repeat(60),
  `canary/${"canary".repeat(900)}`,
  "canary/../../../canary",
];

test("what may be a secret in the place of its file isn't shown, and its own form is named", async () => {
  await using site = await makeInputs("app/Dockerfile");
  const none = "there is no file of the given name, which isn't shown because it may be the secret itself";
  const rows: (readonly [Run, RegExp])[] = [];
  for (const text of secretTexts) {
    const sshText = text.replaceAll("\n", "");
    rows.push(
      [
        await site.put({ context: "app", secrets: { npm: { file: text } }, ssh: { b: { path: text } } }),
        new RegExp(
          `^error: secrets\\.npm: ${none}; .* given by secrets: \\{npm: \\{text: …\\}\\} .*: app\\)$\n.*ssh\\.b: ${none}; .*-----BEGIN`,
          "m",
        ),
      ],
      [
        await site.task({ CONTEXT: "app", BUILDKIT_SECRET_npm: text, BUILDKIT_SSH: `default=${sshText}` }),
        new RegExp(
          `^error: BUILDKIT_SECRET_npm: ${none}; .* given by BUILDKIT_SECRETTEXT_npm: … .*\n.*BUILDKIT_SSH, default: ${none}; .*-----BEGIN`,
          "m",
        ),
      ],
    );
  }
  const key = "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary==\n-----END";
  rows.push(
    [
      await site.task({ CONTEXT: "app", BUILDKIT_SECRET_TEXT_npm: "canary/x" }),
      /^error: BUILDKIT_SECRET_TEXT_npm: .* given by BUILDKIT_SECRETTEXT_npm: … /m,
    ],
    [
      await site.task({ CONTEXT: "app", BUILDKIT_SSH: key }),
      /^error: BUILDKIT_SSH: expected .*found a private key without an id: write default= before it$/m,
    ],
    [
      await site.task({ CONTEXT: "app", DOCKER_CONFIG: '{"auths": {"a/b": {"auth": "canary"}}}' }),
      new RegExp(`^error: DOCKER_CONFIG: ${none}; .*variable REGISTRIES`, "m"),
    ],
    [
      await site.put({ context: "app", secrets: { npm: { env: "ghp_canary1" } } }),
      /^error: secrets\.npm: the step's environment has no variable of this name;/m,
    ],
  );
  for (const [run, told] of rows) {
    assertFailedCleanly(run, told);
    assert.doesNotMatch(run.output, /canary/);
  }
});

test("a path whose first part is there is shown when it can't be used", async () => {
  await using site = await makeInputs("app/Dockerfile");
  await symlink("loop", join(site.inputs, "loop"));
  for (const [file, told] of [
    ["app/npmrc", /secrets\.npm: there is no file "app\/npmrc"; "app" holds: Dockerfile/],
    ["./app/npmrc", /secrets\.npm: there is no file "app\/npmrc"; "app" holds: Dockerfile/],
    ["app", /secrets\.npm: "app" is a folder; expected a file/],
    ["loop", /secrets\.npm: "loop" is a symlink that leads back to itself/],
    ["/etc/canary", /secrets\.npm: "\/etc\/canary" leads out of the put's folder/],
  ] as const)
    assertFailedCleanly(await site.put({ context: "app", secrets: { npm: { file } } }), told);
});

test("variables of another task that are answered alike are told in one line", async () => {
  await using site = await makeInputs("app/Dockerfile");
  const run = await site.task({ CONTEXT: "none", TAG: "v1", REPOSITORY: "a/b", DOCKER_PASSWORD: "x" });
  const lines = run.stderr.split("\n").filter((line) => line.startsWith("warning:"));
  assert.deepEqual(
    lines.map((line) => line.split(";")[0]),
    ["warning: the task doesn't read DOCKER_PASSWORD", "warning: the task doesn't read REPOSITORY, TAG"],
  );
});

test("an artifact that is only written in another way is named", async () => {
  await using site = await makeInputs("app/Dockerfile");
  for (const context of ["app ", '"app"', "app\\sub"])
    assertFailedCleanly(
      await site.put({ context }),
      /context: artifact .* is not among the put's inputs, but "app" is; write paths with "\/", without quotes/,
    );
});

test("a source policy's file is told with the param that names it", async () => {
  await using site = await makeInputs("app/Dockerfile");
  await writeFile(join(site.inputs, "app/policy.yml"), "rules: 1\n");
  assertFailedCleanly(
    await site.task({ CONTEXT: "app", SOURCE_POLICY: "app/policy.yml" }),
    /^error: SOURCE_POLICY: app\/policy\.yml: rules: expected a list, found 1$/m,
  );
});

test("a build arg whose value holds another ARG's, as if blanks separated them, is warned of", async () => {
  await using site = await makeInputs("app/Dockerfile");
  await writeFile(join(site.inputs, "app/Dockerfile"), "FROM scratch\nARG A\nARG B\nCOPY Dockerfile /\n");
  for (const [given, told] of [
    ["A=1 B=2", true],
    ["A=1; B=2", true],
    ["A=-Dx=1 -DB=2", false],
    ["A=1 B=2,B=3", false],
  ] as const) {
    const run = await site.task({ CONTEXT: "app", CALL: "check", BUILD_ARGS: given });
    assert.equal(run.status, 0, run.output);
    const warning =
      'warning: BUILD_ARGS, A: its value holds "B=", but ARG B of app/Dockerfile isn\'t given as a build arg; if it should be, separate the two by a comma, or write a map\n';
    assert.equal(run.stderr.includes(warning), told, `${given}\n${run.output}`);
  }
});
