import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { taskRules } from "../../src/commands/put-rules.ts";
import { type AuthorNames, namesOfPut } from "../../src/host/author-names.ts";
import { messageOf } from "../../src/host/errors.ts";
import { namesOfTask } from "../../src/request/names-of-task.ts";
import { putParams } from "../../src/request/put-params.ts";
import { readTask } from "../../src/request/task-params.ts";

const env = { BUILDKIT_SECRET_npm: "x", "BUILDKIT_SECRET_GIT.host:8443": "x", LABELS: "a=b", LABEL_c: "d" };

const rows: readonly (readonly [(names: AuthorNames) => string, put: string, task: string])[] = [
  [(names) => names.param("context"), "context", "CONTEXT"],
  [(names) => names.param("build_args"), "build_args", "BUILD_ARG_*"],
  [(names) => names.param("image_args", "base"), "image_args.base", "IMAGE_ARG_base"],
  [(names) => names.param("secrets", "token"), "secrets.token", "BUILDKIT_SECRETTEXT_token"],
  [(names) => names.param("secrets", "npm"), "secrets.npm", "BUILDKIT_SECRET_npm"],
  [
    (names) => names.param("secrets", "GIT.host:8443"),
    "secrets.GIT.host:8443",
    "BUILDKIT_SECRET_GIT.host:8443",
  ],
  [(names) => names.place(["secrets", "npm", "file"]), "params.secrets.npm.file", "BUILDKIT_SECRET_npm"],
  [(names) => names.param("labels", "a"), "labels.a", "LABELS, a"],
  [(names) => names.param("labels", "c"), "labels.c", "LABEL_c"],
  [(names) => names.param("allow"), "allow", "allow"],
  [(names) => names.place(["platforms", 1]), "params.platforms.1", "IMAGE_PLATFORM, item 2"],
  [(names) => names.place(["add_hosts", "db", 0]), "params.add_hosts.db.0", "BUILDKIT_ADD_HOSTS, db.0"],
  [(names) => names.place(["SANDBOX"]), "params.SANDBOX", "SANDBOX"],
  [(names) => names.place(["contexts", "base"]), "params.contexts.base", "contexts.base"],
  [(names) => names.quoted("registry_mirrors"), '"registry_mirrors"', "REGISTRY_MIRRORS"],
  [(names) => String(names.own("shm_size")), "shm_size", "undefined"],
  [(names) => names.among("a and b"), "params: a and b", "a and b"],
  [(names) => names.secretText("tok"), "secrets: {tok: {text: …}}", "BUILDKIT_SECRETTEXT_tok: …"],
  [
    (names) => names.secret("tok"),
    '"secrets: {tok: {text: …}}" (or file, or env)',
    "BUILDKIT_SECRETTEXT_tok: …, or BUILDKIT_SECRET_tok: path",
  ],
  [(names) => names.sshKey("default"), '"ssh: {default: …}"', "BUILDKIT_SSH: default=path"],
  [(names) => names.registries, 'under "registries" in the source', "in the variable REGISTRIES"],
];

test("what messages are about has the names of a put's params, and of a task's variables", () => {
  for (const [words, put, task] of rows) {
    assert.equal(words(namesOfPut), put);
    assert.equal(words(namesOfTask(env)), task);
  }
});

test("every param that a task has is named by its variables, and every other by its name in a put", () => {
  const names = namesOfTask({});
  for (const [param, { upper }] of Object.entries(putParams)) {
    if (upper.length === 0) assert.equal(names.place([param]), param);
    else assert.match(names.place([param]), /^[A-Z_]+\*?(?:, [A-Z_]+\*)*$/, param);
  }
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
