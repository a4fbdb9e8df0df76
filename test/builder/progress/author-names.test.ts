import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuildDescription } from "../../../src/builder/progress/build-description.ts";
import { cacheAdvice } from "../../../src/builder/progress/cache-advice.ts";
import { explain } from "../../../src/builder/progress/explanations.ts";
import { parseVertexName } from "../../../src/builder/progress/step.ts";
import { type AuthorNames, namesOfPut } from "../../../src/host/author-names.ts";
import { namesOfTask } from "../../../src/request/names-of-task.ts";

const pull = "failed to resolve source metadata for";
const head = 'failed to do request: Head "https://quay.io/v2/a/manifests/1"';
const hub = 'failed to do request: Head "https://registry-1.docker.io/v2/library/a/manifests/1"';
const git = "failed to load cache key: failed to fetch remote https://git.example/a.git: git stderr:\n";
const denied = 'source "docker-image://docker.io/library/a:1" denied by policy';

/** What BuildKit says, and what of the explanation names params or fields: for a put, and for a task. */
const rows: readonly (readonly [said: string, put: string, task: string])[] = [
  ["lint violation found for rules: X", "by fail_on_warnings or", "by FAIL_ON_WARNINGS or"],
  [
    "server gave HTTP response to HTTPS client",
    'for its host under "registries" in the source',
    "for its host in the variable REGISTRIES",
  ],
  [
    "failed to parse /tmp/a/ssh-deploy|key-0/key: ssh: no key found",
    "ssh.deploy/key: the key can't be used",
    "BUILDKIT_SSH, deploy/key: the key can't be used",
  ],
  [
    'no SSH key "default" forwarded from the client',
    'add "ssh: {default: …}"',
    "add BUILDKIT_SSH: default=path",
  ],
  [
    "secret tok: not found",
    'add "secrets: {tok: {text: …}}" (or file, or env)',
    "add BUILDKIT_SECRETTEXT_tok: …, or BUILDKIT_SECRET_tok: path",
  ],
  ["error matching source policy: x", "source_policy: BuildKit can't", "SOURCE_POLICY: BuildKit can't"],
  [
    "network.host is not allowed",
    'name it under "allow" in the params',
    'only a put can allow it, with its param "allow"',
  ],
  [
    "failed to parse additional hosts: failed to parse IP x",
    'add_hosts: "x" is not',
    'BUILDKIT_ADD_HOSTS: "x" is not',
  ],
  [
    'failed to parse stage name "a:": invalid reference format',
    'value under "build_args"',
    "value under BUILD_ARG_*",
  ],
  ["base name ($base) should not be blank", 'value under "build_args"', "value under BUILD_ARG_*"],
  ["empty platform value from expression $p", 'value under "build_args"', "value under BUILD_ARG_*"],
  [
    "failed to read dockerfile: open app/Dockerfile: no such file or directory",
    'check "dockerfile", which',
    "check DOCKERFILE, which",
  ],
  [
    'failed to load cache key: no SSH key "default" forwarded from the client',
    'add "ssh: {default: …}", or use',
    "add BUILDKIT_SSH: default=path, or use",
  ],
  [
    `${git}fatal: Authentication failed: exit status 128`,
    "give a token: secrets: {GIT_AUTH_TOKEN: {text: …}}",
    "give a token: BUILDKIT_SECRETTEXT_GIT_AUTH_TOKEN: …",
  ],
  [`${git}Permission denied (publickey): exit status 128`, 'key under "ssh"', "key under BUILDKIT_SSH"],
  [
    `a: ${pull} docker.io/library/a:1: ${hub}: 429 Too Many Requests`,
    'for docker.io under "registries" in the source, name a mirror under "registry_mirrors"',
    "for docker.io in the variable REGISTRIES, name a mirror under REGISTRY_MIRRORS",
  ],
  [
    `quay.io/a: ${pull} quay.io/a:1: ${head}: dial tcp: lookup quay.io: no such host`,
    'give "mirrors" for quay.io under "registries" in the source',
    'give "mirrors" for quay.io in the variable REGISTRIES',
  ],
  [
    `quay.io/a: ${pull} quay.io/a:1: no match for platform in manifest`,
    'check "platforms", and "--platform"',
    'check IMAGE_PLATFORM, and "--platform"',
  ],
  [
    `quay.io/a: ${pull} quay.io/a:1: authorization failed`,
    'for quay.io under "registries" in the source',
    "for quay.io in the variable REGISTRIES",
  ],
  [
    `quay.io/a: ${pull} quay.io/a:1: ${head}: x509: certificate signed by unknown authority`,
    'as "ca_certs" in the source, for every registry or for its host under "registries"',
    'as "ca_certs" of its host in the variable REGISTRIES',
  ],
  [denied, "by rules.0 of source_policy (DENY", "by rules.0 of SOURCE_POLICY (DENY"],
];

function build(names: AuthorNames): BuildDescription {
  const selector = {
    identifier: "docker-image://docker.io/library/*",
    match_type: "WILDCARD" as const,
    constraints: [],
  };
  return { names, sourcePolicy: { rules: [{ action: "DENY", selector }] } };
}

test("advice on BuildKit's failures names a put's params, and a task's variables", () => {
  for (const [said, put, task] of rows) {
    for (const [names, words] of [
      [namesOfPut, put],
      [namesOfTask({}), task],
    ] as const) {
      const told = explain(said, build(names), undefined);
      assert.ok(told.includes(words), `${words}\n${told}`);
    }
  }
});

test("what a failed RUN lacks is to be added as a put's author writes it, and as a task's", () => {
  const step = "[2/2] RUN --mount=type=secret,id=npm --mount=type=ssh npm ci";
  const failed = { name: parseVertexName(step), fullName: step, lastLines: [] };
  const told = (names: AuthorNames) =>
    explain("exit code: 1", { names, given: { secrets: [], ssh: [] } }, failed)
      .split("\n")
      .slice(1);
  assert.deepEqual(
    told(namesOfPut).map((line) => line.replace(/.*; if it needs it, /, "")),
    ['add "secrets: {npm: {text: …}}" (or file, or env)', 'add "ssh: {default: …}"'],
  );
  assert.deepEqual(
    told(namesOfTask({})).map((line) => line.replace(/.*; if it needs it, /, "")),
    ["add BUILDKIT_SECRETTEXT_npm: …, or BUILDKIT_SECRET_npm: path", "add BUILDKIT_SSH: default=path"],
  );
});

test("advice on a layer cache names a put's fields, and a task's variable", () => {
  const refused = ["importing cache manifest from quay.io/a:cache", "authorization failed"] as const;
  for (const [names, words] of [
    [namesOfPut, 'for quay.io under "registries" in the source'],
    [namesOfTask({}), "for quay.io in the variable REGISTRIES"],
  ] as const)
    assert.ok(cacheAdvice(...refused, { names })?.endsWith(words));
});

test("BuildKit's words stay as they are, whatever they look like", () => {
  const words = 'target: no build_args under "registries" in the source';
  for (const names of [namesOfPut, namesOfTask({})])
    assert.equal(explain(words, build(names), undefined), words);
});
