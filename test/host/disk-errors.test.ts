import assert from "node:assert/strict";
import { test } from "node:test";
import { surfaceProblem, writeProblem } from "../../src/host/disk-errors.ts";
import { messageOf, UserError } from "../../src/host/errors.ts";

const failure = (code: string, path?: string) =>
  Object.assign(new Error(`${code}: made up`), { code, ...(path !== undefined && { path }) });

test("a limit on open files is told with what raises it, and any other error stays as it is", async () => {
  for (const [code, words] of [
    ["EMFILE", "/a/b: this step has as many files open as it may. Raise its limit (ulimit -n)"],
    ["ENFILE", "/a/b: the worker has as many files open as it can. Raise fs.file-max there"],
  ] as const) {
    const problem = await surfaceProblem(failure(code, "/a/b"));
    assert.ok(problem instanceof UserError);
    assert.equal(messageOf(problem), words);
  }
  const other = failure("ENOENT", "/a/b");
  assert.equal(await surfaceProblem(other), other);
});

const told = async (named: string | undefined, written: string | undefined) =>
  messageOf(await writeProblem(failure("EIO", named), written)).replace(/: the disk fails .*/, "");

test("an error is told with the path that it names, unless that is a temporary name beside what is written", async () => {
  assert.equal(await told("/to/.image.tar.0a.part", "/to/image.tar"), "/to/image.tar");
  assert.equal(await told("/store/blob", "/to/image.tar"), "/store/blob");
  assert.equal(await told(undefined, "/to/image.tar"), "/to/image.tar");
  assert.equal(await told(undefined, undefined), "a file of this step");
});
