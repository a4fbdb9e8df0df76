import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "../../src/host/errors.ts";
import { readOutRequest } from "../../src/request/out-request.ts";

const source = { repository: "registry.example/web" };

test("all that is wrong with names, upper-case params and typed ones is told at once", () => {
  const params = {
    contxt: "repo",
    tag_s: ["latest"],
    CONTEXT: "repo",
    UNPACK_ROOTFS: "perhaps",
    platforms: "linux/amd64",
    secrets: { token: { path: "x" } },
  };
  const lines = messageFor(params).split("\n");
  assert.equal(lines.length, 5, lines.join("\n"));
  for (const [index, start] of [
    'params: there is no param "contxt"',
    'params: there is no param "tag_s"',
    "UNPACK_ROOTFS: expected true or false",
    "params.platforms: expected a list",
    "params.secrets.token: expected one of",
  ].entries())
    assert.ok(lines[index]?.startsWith(start), lines[index]);
});

test("unknown names with the same advice are told in one line", () => {
  const params = {
    cache: true,
    build: "x",
    cache_from: ["y"],
    cache_tag: "z",
    contxt: "app",
    odd: 1,
    other: 2,
  };
  assert.deepEqual(messageFor(params).split("\n"), [
    'params: there is no param "cache", "cache_from" or "cache_tag"; the layer cache belongs in the source: cache: true',
    'params: there is no param "build"; write context: the folder to build',
    'params: there is no param "contxt"; did you mean "context"?',
    'params: there is no param "odd"',
    'params: there is no param "other"',
  ]);
});

test("a name without a value, and whole references in the place of tags, are answered with what to write", () => {
  assert.equal(
    messageFor({ context: null }),
    "params.context: expected a string, found nothing (null); give it a value, or leave it out",
  );
  assert.match(
    messageFor({ tags: "user/app:latest,user/app:1" }),
    /; a list is written in brackets: \[latest, 1\]$/,
  );
});

test("of very many faults twenty are told, and how many more there are", () => {
  const params = Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`param${index}`, 1]));
  const lines = messageFor(params).split("\n");
  assert.equal(lines.length, 21);
  assert.equal(lines.at(-1), "… and 13 more");
});

function messageFor(params: unknown): string {
  try {
    readOutRequest(JSON.stringify({ source, params }));
  } catch (thrown) {
    assert.ok(thrown instanceof UserError);
    return thrown.message;
  }
  throw new assert.AssertionError({ message: "the request was taken" });
}
