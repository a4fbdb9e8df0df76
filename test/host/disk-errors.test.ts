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

test("an error is told with the path that it names, unless that is a temporary name of what is written, or in it", async () => {
  assert.equal(await told("/to/.image.tar.0a.part", "/to/image.tar"), "/to/image.tar");
  assert.equal(await told("/to/.image.0a.part/blobs/sha256/0", "/to/image"), "/to/image");
  assert.equal(await told("/to/image/blobs/sha256/0", "/to/image"), "/to/image");
  for (const other of ["/store/blob", "/to/store/blob", "/to/blob", "/to/image.tar.gz", "/to/.other.0a.part"])
    assert.equal(await told(other, "/to/image.tar"), other);
  assert.equal(await told(undefined, "/to/image.tar"), "/to/image.tar");
});

test("an error without a path keeps its own words", async () => {
  for (const [code, message, words] of [
    ["EACCES", "connect EACCES /run/x.sock", "connect EACCES /run/x.sock: this step's user may not use it. "],
    [
      "EACCES",
      "Command failed with EACCES: zstd -dc\nspawn zstd EACCES",
      "Command failed with EACCES: zstd -dc: ",
    ],
    ["EMFILE", "spawn zstd EMFILE", "spawn zstd EMFILE: this step has as many files open as it may. "],
    ["EIO", "EIO: i/o error, write", "EIO: i/o error, write: the disk fails with an I/O error. "],
    ["EFBIG", "EFBIG: file too large, write", "EFBIG: file too large, write: the file is larger than "],
    [
      "ENOSPC",
      "ENOSPC: no space left on device, write",
      "ENOSPC: no space left on device, write: the disk is full. ",
    ],
  ] as const) {
    const problem = messageOf(await surfaceProblem(Object.assign(new Error(message), { code })));
    assert.ok(problem.startsWith(words), problem);
  }
});

const thrown = (message: string, more: Readonly<Record<string, string>> = {}) =>
  Object.assign(new Error(message), more);

test("a limit on processes is told by what starts a program or a thread, and no other EAGAIN is", async () => {
  for (const error of [
    thrown("Command failed with EAGAIN: igzip\nspawn setpriv EAGAIN", { code: "EAGAIN" }),
    thrown("EAGAIN"),
    thrown("Worker initialization failure: EAGAIN", { code: "ERR_WORKER_INIT_FAILED" }),
  ])
    assert.match(
      messageOf(await surfaceProblem(error)),
      /as many processes and threads as it may\. Raise .*pids/,
    );
  const files = thrown("Worker initialization failure: EMFILE", { code: "ERR_WORKER_INIT_FAILED" });
  assert.match(messageOf(await surfaceProblem(files)), /as many files open as it may/);
  const library = thrown("/x.node: cannot open shared object file: Too many open files", {
    code: "ERR_DLOPEN_FAILED",
  });
  assert.match(messageOf(await surfaceProblem(library)), /as many files open as it may/);
  const other = failure("EAGAIN");
  assert.equal(await surfaceProblem(other), other);
});

test("what a filesystem refuses is told with its path, and the same of something else isn't", async () => {
  for (const code of ["EPERM", "EXDEV", "ENOTSUP", "EOPNOTSUPP"]) {
    const refused = messageOf(await writeProblem(thrown(`linkat "a": ${code}`, { code }), "/to/rootfs"));
    assert.ok(
      refused.startsWith(`/to/rootfs: its filesystem or this container refuses it (linkat "a": ${code}). `),
    );
    const other = failure(code);
    assert.equal(await surfaceProblem(other), other);
  }
});

test("a missing /proc is told, and a missing file in it isn't", async () => {
  const missing = thrown("ENOENT: no such file or directory, open '/proc/self/status'", { code: "ENOENT" });
  assert.match(
    messageOf(await writeProblem(missing, "/to/rootfs")),
    /: \/proc is not mounted in this container/,
  );
  const ended = thrown("ENOENT: no such file or directory, open '/proc/17/status'", { code: "ENOENT" });
  assert.equal(await surfaceProblem(ended), ended);
});
