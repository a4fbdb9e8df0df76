import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { taskRules } from "../../src/commands/put-rules.ts";
import { UserError } from "../../src/host/errors.ts";
import { readOutRequest } from "../../src/request/out-request.ts";
import { putParams } from "../../src/request/put-params.ts";
import { readTask } from "../../src/request/task-params.ts";

const source = { repository: "registry.example/web" };
const put = (params: object) => readOutRequest(JSON.stringify({ source, params })).params;
/** Concourse makes JSON of a map or a list among a task's params (atc/config.go, TaskEnv). */
const task = (params: Readonly<Record<string, unknown>>) =>
  readTask(
    Object.fromEntries(
      Object.entries(params).map(([name, value]) => [
        name,
        typeof value === "string" ? value : JSON.stringify(value),
      ]),
    ),
    { ...taskRules, parseYaml: parse },
  ).params;

/** A map or list for each whole form of a param that takes several values. */
const values: Readonly<Record<string, unknown>> = {
  BUILD_ARGS: { VERSION: "1,2", DEBUG: true, N: 3, EMPTY: "" },
  LABELS: { "org.example.team": "a=b, c", "a b": 1 },
  IMAGE_ARGS: { base: "base/image.tar" },
  ADDITIONAL_TARGETS: ["test", "lint"],
  IMAGE_PLATFORM: ["linux/amd64", "linux/arm64"],
  BUILDKIT_SSH: { default: ["keys/a", "keys/b"], github: { path: "keys/c" } },
  BUILDKIT_ADD_HOSTS: { db: "10.0.0.1", cache: ["10.0.0.2", "fd00::2"] },
  REGISTRY_MIRRORS: ["mirror.example", "other.example/hub"],
  BUILDKIT_OPTIONS: { hostname: "web", memory: "512m" },
  SOURCE_POLICY: { rules: [{ action: "DENY", selector: { identifier: "docker-image://*" } }] },
};

const wholes = Object.entries(putParams).flatMap(([param, { upper }]) =>
  upper.flatMap((form) =>
    form.kind === "whole" && form.syntax.structure !== undefined ? [[form.name, param] as const] : [],
  ),
);

test("where a param takes several values, its upper-case form is also a map or a list, in a put and as a task's JSON", () => {
  assert.deepEqual(wholes.map(([name]) => name).toSorted(), Object.keys(values).toSorted());
  for (const [name, param] of wholes) {
    const wanted = put({ context: "app", [param]: values[name] });
    assert.deepEqual(put({ CONTEXT: "app", [name]: values[name] }), wanted, name);
    assert.deepEqual(put({ CONTEXT: "app", [name]: ` ${JSON.stringify(values[name])}\n` }), wanted, name);
    assert.deepEqual(task({ CONTEXT: "app", [name]: values[name] }), wanted, name);
  }
  const both = { BUILD_ARGS: { A: "1", B: "2" }, BUILD_ARG_B: "3", BUILD_ARG_C: "4" };
  assert.deepEqual(task(both).buildArgs, { A: "1", B: "3", C: "4" });
  assert.deepEqual(task({ BUILD_ARGS: {} }).buildArgs, {});
  // Text that isn't JSON keeps its meaning, whatever it begins with.
  assert.deepEqual(task({ BUILD_ARGS: "{a=1},[b=2" }).buildArgs, { "{a": "1}", "[b": "2" });
});

test("what a map or list holds wrongly is told at its place, without values that may be secrets", () => {
  const rows: readonly (readonly [Readonly<Record<string, unknown>>, string])[] = [
    [
      { BUILD_ARGS: { A: ["canary"] } },
      "BUILD_ARGS, A: expected a string, found a list; to pass JSON, put it in quotes",
    ],
    [{ BUILD_ARGS: ["A=canary"] }, "BUILD_ARGS: expected a string or a map; found a list"],
    [
      { BUILD_ARGS: '{"A": "canary"' },
      "BUILD_ARGS: expected name=value, separated by commas or one a line, or a map; found a part …",
    ],
    [{ BUILD_ARGS: '{"__proto__": "x"}' }, 'BUILD_ARGS: there is no "__proto__"'],
    [{ BUILD_ARGS: { A: "\0canary" } }, "BUILD_ARGS.A: holds a NUL character (\\u0000): remove it"],
    [
      { IMAGE_PLATFORM: ["linux/amd64", "linux arm"] },
      "IMAGE_PLATFORM, item 2: expected os[(version)]/architecture…",
    ],
    [
      { BUILDKIT_ADD_HOSTS: { db: ["10.0.0.1", "x"] } },
      'BUILDKIT_ADD_HOSTS, db: "x" is not an IP address; …',
    ],
    [{ BUILDKIT_ADD_HOSTS: ["db=10.0.0.1"] }, "BUILDKIT_ADD_HOSTS: expected a string or a map; found a list"],
    [{ BUILDKIT_SSH: ["default=key"] }, "BUILDKIT_SSH: expected a string or a map; found a list"],
    [
      { BUILDKIT_OPTIONS: { other: ["canary"] } },
      "BUILDKIT_OPTIONS, other: expected a string, found a list; to pass JSON, put it in quotes",
    ],
    [
      { BUILDKIT_OPTIONS: { memory: "512Mi" } },
      'BUILDKIT_OPTIONS, memory: expected a number of bytes, or a size such as 512m or 2g, 6m at least, found "512Mi"',
    ],
    [{ IMAGE_PLATFORM: { linux: "canary" } }, "IMAGE_PLATFORM: expected a string or a list; found a map"],
    [{ SOURCE_POLICY: { rules: 1 } }, "SOURCE_POLICY, rules: expected a list, found 1"],
  ];
  for (const [params, answer] of rows) {
    const start = answer.split("…")[0] ?? "";
    assert.throws(
      () => task(params),
      (thrown) => {
        assert.ok(thrown instanceof UserError, String(thrown));
        assert.ok(thrown.message.startsWith(start), `${thrown.message}\nwanted: ${answer}`);
        assert.doesNotMatch(thrown.message, /canary/);
        return answer.includes("…") || thrown.message === answer;
      },
    );
  }
  assert.throws(() => put({ BUILD_ARGS: ["A"] }), {
    message: "params.BUILD_ARGS: expected a string or a map; found a list",
  });
});
