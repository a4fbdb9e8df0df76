import assert from "node:assert/strict";
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { gone, killProcesses, newMark, processesOf } from "../support/runs/processes.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, type Run } from "../support/runs/resource.ts";
import { checkout } from "../support/runs/test-step.ts";

/** Puts with a program in the place of buildkitd, and perhaps another in that of runc. */
async function putWith(script: string, runc?: string): Promise<Run> {
  await using folder = await createPrivateFolder("test-daemon");
  const bin = join(folder.path, "bin");
  await mkdir(bin);
  await writeFile(join(bin, "buildkitd"), `#!/bin/sh\n${script}\n`);
  await chmod(join(bin, "buildkitd"), 0o755);
  if (runc !== undefined) await writeFile(join(bin, "runc"), `#!/bin/sh\n${runc}\n`, { mode: 0o755 });
  await using site = await makeSite("");
  const path = `${bin}:${dirname(process.execPath)}:${checkout}/.tools/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  const mark = newMark();
  const run = await site.put({}, {}, { env: { PATH: path, [mark]: "1" } });
  assert.deepEqual(await readdir(join(site.folder, "builds")).catch(() => []), []);
  await gone(mark);
  assert.deepEqual(await processesOf(mark), []);
  return run;
}

test("a daemon that exits at start is shown with the end of its log", async () => {
  const run = await putWith("echo 'level=fatal msg=\"no such thing\"' >&2; exit 3");
  assertFailedCleanly(run, /buildkitd ended with status 3; the end of its log:\n.*no such thing/);
});

test("a daemon that never listens is given up after a minute, with the end of its log", async () => {
  const run = await putWith("echo waiting for something >&2; exec sleep 600");
  assertFailedCleanly(run, /buildkitd is not ready after 60 s; the end of its log:\n.*waiting for something/);
  assert.ok(run.milliseconds < 75_000, `${run.milliseconds} ms`);
});

test("a daemon that says it listens, and doesn't answer, is given up within a minute", async () => {
  const run = await putWith("echo 'running server on /nowhere' >&2; exec sleep 600");
  assertFailedCleanly(run, /buildkit/i);
  assert.ok(run.milliseconds < 75_000, `${run.milliseconds} ms`);
});

test("a daemon that is killed in the middle, as if out of memory, is named with that", async () => {
  await using site = await makeSite("RUN echo running; busybox sleep 600\n");
  const mark = newMark();
  const put = await site.startPut({}, {}, { env: { [mark]: "1" } });
  await put.wrote(/\] running/);
  await killProcesses(mark, /^buildkitd\0/);
  const run = await put.result;
  assertFailedCleanly(run, /buildkitd was (ended|killed) .*SIGKILL.*memory/);
  await gone(mark);
});

test("a buildctl that is killed in the middle, as if out of memory, is named with that", async () => {
  await using site = await makeSite("RUN echo running; busybox sleep 600\n");
  const mark = newMark();
  const put = await site.startPut({}, {}, { env: { [mark]: "1" } });
  await put.wrote(/\] running/);
  await killProcesses(mark, /^buildctl\0/);
  assertFailedCleanly(
    await put.result,
    /buildctl was killed \(SIGKILL\), usually because the step or its worker is out of memory/,
  );
  await gone(mark);
});

test("a daemon of a version with known holes is refused", async () => {
  const version = "case $1 in --version) echo buildkitd github.com/moby/buildkit v0.28.0; exit;; esac";
  const run = await putWith(`${version}; echo 'running server on /nowhere' >&2; exec sleep 600`);
  assertFailedCleanly(run, /buildkitd is version 0\.28\.0, .*0\.31\.2 or newer is needed/);
});

test("a runc that lets a RUN break out is refused, a distribution's mended one too, for its number doesn't tell", async () => {
  const listening = "echo 'running server on /nowhere' >&2; exec sleep 600";
  const refusals = ["1.1.5+ds1", "1.2.7", "1.3.2"].map(async (version) => {
    const run = await putWith(listening, `echo 'runc version ${version}'`);
    assertFailedCleanly(
      run,
      new RegExp(`runc is version ${version.replace("+", "\\+")}, .*CVE-2025-31133.*1\\.3\\.3`),
    );
  });
  await Promise.all(refusals);
});

test("a daemon that listens and never answers is given up, with that", async () => {
  const listen = `require("node:net").createServer(() => {}).listen(process.argv[1], () => console.error("running server on it"))`;
  const socket = `sed -n 's,.*unix://\\(.*/buildkitd.sock\\).*,\\1,p' "$2"`;
  const run = await putWith(`exec node -e '${listen}' "$(${socket})"`);
  assertFailedCleanly(run, /buildkitd no longer answers; the end of its log:\n {2}running server on it/);
  assert.ok(run.milliseconds < 75_000, `${run.milliseconds} ms`);
});
