import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { taskRules } from "../../src/commands/put-rules.ts";
import { messageOf } from "../../src/host/errors.ts";
import { readTask } from "../../src/request/task-params.ts";
import { taskWords } from "../../src/request/task-words.ts";

const rows: readonly (readonly [string, string])[] = [
  ["params.platforms.1: expected os/architecture", "IMAGE_PLATFORM, item 2: expected os/architecture"],
  ["params.add_hosts.db.0: expected an IP address", "BUILDKIT_ADD_HOSTS, db.0: expected an IP address"],
  ['context: there is no folder "x"', 'CONTEXT: there is no folder "x"'],
  ["build_args_file: args line 2: expected name=value", "BUILD_ARGS_FILE: args line 2: expected name=value"],
  ["image_args.base: image.tar: is damaged", "IMAGE_ARG_base: image.tar: is damaged"],
  ["secrets.token: a secret of 1 bytes", "BUILDKIT_SECRETTEXT_token: a secret of 1 bytes"],
  ["secrets.npm: there is no file", "BUILDKIT_SECRET_npm: there is no file"],
  ["secrets.GIT.host:8443: there is no file", "BUILDKIT_SECRET_GIT.host:8443: there is no file"],
  ["buildkit_extra_config is not TOML (line 1)", "BUILDKIT_EXTRA_CONFIG is not TOML (line 1)"],
  ['target stage "x" could not be found', 'target stage "x" could not be found'],
  ["target and target_file are both given: remove one", "TARGET and TARGET_FILE are both given: remove one"],
  ['context: there is no folder "a/target_file"', 'CONTEXT: there is no folder "a/target_file"'],
  ["app/Dockerfile:4: FROM x: not found", "app/Dockerfile:4: FROM x: not found"],
  ['give it under "registries" in the source', "give it in the variable REGISTRIES"],
  ["check the password in the source", "check the password in the variable REGISTRIES"],
  ['give a mirror under "registry_mirrors"', "give a mirror under REGISTRY_MIRRORS"],
  ['check "platforms", and "--platform" in FROM', 'check IMAGE_PLATFORM, and "--platform" in FROM'],
  ['give it a value under "build_args", or', "give it a value under BUILD_ARG_*, or"],
  ['name it under "allow" in the params', 'only a put can allow it, with its param "allow"'],
  ['context: there is no folder "ssh"', 'CONTEXT: there is no folder "ssh"'],
  [
    'add "secrets: {tok: {text: …}}" (or file, or env)',
    "add BUILDKIT_SECRETTEXT_tok: …, or BUILDKIT_SECRET_tok: path",
  ],
  [
    'give its CA as "ca_certs" in the source, for every registry or for its host under "registries"',
    'give its CA as "ca_certs" of its host in the variable REGISTRIES',
  ],
  ["params: BUILD_ARG_a and LABELS are wrong", "BUILD_ARG_a and LABELS are wrong"],
  [
    "give a token: secrets: {GIT_AUTH_TOKEN: {text: …}}",
    "give a token: BUILDKIT_SECRETTEXT_GIT_AUTH_TOKEN: …",
  ],
  [
    'add "ssh: {default: …}", or use an https:// URL',
    "add BUILDKIT_SSH: default=path, or use an https:// URL",
  ],
  ['params.add_hosts.db: "x" is not an IP address', 'BUILDKIT_ADD_HOSTS, db: "x" is not an IP address'],
  ["params.SANDBOX: expected auto", "SANDBOX: expected auto"],
  [
    'or build elsewhere: "buildkit: {address: x}" in the source. Read on',
    'or build elsewhere: "buildkit: {address: x}" in a resource\'s source, and a put instead of the task. Read on',
  ],
  ['or "sandbox: auto" in the source (SANDBOX in a task) instead', 'or "SANDBOX: auto" instead'],
  ["source.registries.a.example: expected", "REGISTRIES.a.example: expected"],
];

test("a task's messages name its variables instead of a put's params and the source", () => {
  const env = { BUILDKIT_SECRET_npm: "x", "BUILDKIT_SECRET_GIT.host:8443": "x" };
  for (const [message, said] of rows) assert.equal(taskWords(message, env), said);
  const both = rows.map(([message]) => message).join("\n");
  assert.equal(taskWords(both, env), rows.map(([, said]) => said).join("\n"));
});

/** What a task is told whose policy's selector has these names. */
function messageFor(names: readonly string[]): string {
  const selector = { identifier: "*", ...Object.fromEntries(names.map((name) => [name, "x"])) };
  const policy = JSON.stringify({ rules: [{ action: "DENY", selector }] });
  try {
    readTask({ SOURCE_POLICY: policy }, { ...taskRules, parseYaml: parse });
  } catch (thrown) {
    return messageOf(thrown);
  }
  throw new assert.AssertionError({ message: "the task was taken" });
}

test("unknown names that are told in one line have the words that each has alone", () => {
  const place = "SOURCE_POLICY, rules.0.selector: there is no";
  assert.equal(messageFor(["matchType"]), `${place} "matchType"; write match_type`);
  assert.equal(messageFor(["matchType", "type"]), `${place} "matchType" or "type"; write match_type`);
});
