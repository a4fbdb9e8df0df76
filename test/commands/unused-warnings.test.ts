import assert from "node:assert/strict";
import { test } from "node:test";
import type { Inputs } from "../../src/builder/inputs/inputs.ts";
import { warnOfUnused } from "../../src/commands/unused-warnings.ts";
import { paramsPartly } from "../../src/request/read-parts.ts";
import { createTestStep } from "../support/runs/test-step.ts";

/** The warnings about these params with this Dockerfile; undefined for one that is in a git context. */
function warnings(params: Readonly<Record<string, unknown>>, dockerfile: string | undefined): string[] {
  const { value, faults } = paramsPartly(params);
  assert.deepEqual(faults, []);
  assert.ok(value !== undefined);
  const { logged, ...step } = createTestStep();
  const inputs = {
    buildArgs: value.buildArgs,
    context: value.context.endsWith(".git")
      ? { kind: "git", url: value.context }
      : { kind: "folder", path: "/app" },
    dockerfile:
      dockerfile === undefined
        ? undefined
        : { folder: "/app", name: "Dockerfile", shown: "app/Dockerfile", text: dockerfile },
  } as Pick<Inputs, "buildArgs" | "context" | "dockerfile"> as Inputs;
  warnOfUnused({ ...value, sourcePolicy: undefined }, inputs, step);
  return logged()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace("warning: ", ""));
}

const dockerfile = `# comment
FROM --platform=linux/amd64 base AS Build
RUN --mount=type=secret,id=npm_token \\
    --mount=type=secret,target=/root/.npmrc,required=true --mount=type=ssh make
RUN --mount=type=bind,from=tools,target=/t --mount=type=ssh,id=github true
ONBUILD RUN --mount=type=secret,id=late true
FROM scratch
COPY --from=assets /x /
`;

test("what the Dockerfile uses of secrets, keys, contexts and stages causes no warning", () => {
  const params = {
    secrets: {
      npm_token: { text: "x" },
      ".npmrc": { file: "a" },
      late: { text: "x" },
      "GIT_AUTH_TOKEN.git.example": { text: "x" },
      "HTTP_AUTH_TOKEN_files.example": { text: "x" },
    },
    ssh: { default: "key", github: "key" },
    contexts: { base: "a", tools: "b", assets: "c" },
    no_cache: ["build"],
  };
  assert.deepEqual(warnings(params, dockerfile), []);
});

test("what it doesn't use is warned of, with the nearest name that it does use", () => {
  const params = {
    secrets: { npm_tokn: { text: "" }, other: { env: "X" } },
    ssh: { gihub: "key" },
    contexts: { bas: "a", "registry.example/x:1": "b" },
    no_cache: ["biuld", "last"],
  };
  assert.deepEqual(warnings(params, dockerfile), [
    "secrets.npm_tokn: its text is empty (is a variable empty?)",
    'secrets.npm_tokn: no RUN of app/Dockerfile mounts it (--mount=type=secret,id=npm_tokn); did you mean "npm_token"?',
    "secrets.other: no RUN of app/Dockerfile mounts it (--mount=type=secret,id=other)",
    'ssh.gihub: no RUN of app/Dockerfile mounts it (--mount=type=ssh,id=gihub); did you mean "github"?',
    'contexts.bas: no FROM and no "from" of app/Dockerfile names it; did you mean "base"?',
    'contexts.registry.example/x:1: no FROM and no "from" of app/Dockerfile names it',
    'no_cache: "biuld": app/Dockerfile has no such stage; did you mean "build"?',
    'no_cache: "last": app/Dockerfile has no such stage',
  ]);
});

test("what can't be known causes no warning: variables, other frontends, Dockerfiles in git, keys for git", () => {
  const params = { secrets: { a: { text: "x" } }, ssh: { b: "key" }, contexts: { c: "d" } };
  const text = "FROM $base\nRUN --mount=type=secret,id=$name --mount=type=ssh,id=$key true\n";
  assert.deepEqual(warnings(params, text), []);
  assert.deepEqual(warnings(params, "# syntax=other/frontend:1\nFROM scratch\n"), []);
  assert.deepEqual(warnings(params, undefined), []);
  const withKey = { ssh: { default: "key" } };
  assert.equal(warnings(withKey, "FROM scratch\n").length, 1);
  assert.deepEqual(warnings(withKey, "FROM scratch\nADD git@git.example:a/b.git /src\n"), []);
  assert.deepEqual(warnings({ ...withKey, context: "git@git.example:a/b.git" }, "FROM scratch\n"), []);
  assert.deepEqual(
    warnings({ ...withKey, contexts: { src: "ssh://git@git.example/a.git" } }, "FROM src\n"),
    [],
  );
});

test("a platform that no machine has is warned of in a FROM too", () => {
  const text =
    "FROM --platform=linux/amd46 scratch\nFROM --platform=$BUILDPLATFORM a\nFROM --platform=linux/arm64 b\n";
  assert.deepEqual(warnings({}, text), [
    'app/Dockerfile: FROM --platform: "linux/amd46": there is no architecture "amd46"; did you mean "amd64"?',
  ]);
});

test("contexts are found by the names that images have, in all their spellings", () => {
  const params = { contexts: { "docker.io/library/alpine:latest": "a", "registry.example/base:1": "b" } };
  assert.deepEqual(warnings(params, "FROM alpine\nCOPY --from=registry.example/base:1 /x /\n"), []);
});
