import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { startAbortFuzzer } from "../support/runs/abort-fuzzer.ts";
import { withDisk } from "../support/runs/disks.ts";
import { gone, killProcesses, newMark, processesOf } from "../support/runs/processes.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import {
  assertFailedCleanly,
  type Run,
  type StartedRun,
  startResource,
  versionOf,
} from "../support/runs/resource.ts";
import { injecting } from "../support/runs/strace.ts";
import { until } from "../support/runs/wait-until.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { startRegistry } from "../support/servers/registry.ts";
import { startSilentServer } from "../support/servers/silent-server.ts";

/** For puts that are killed: the state of their daemon goes with them. */
const ownDisk = withDisk("/var/lib", "size=100m");

/** Sends SIGTERM to the executed process alone, as Concourse does, and looks at what is left. */
async function abort(started: StartedRun, mark: string, context: TestContext): Promise<Run> {
  const begun = performance.now();
  started.kill("SIGTERM");
  const run = await started.result;
  const took = performance.now() - begun;
  context.diagnostic(`it ended after ${Math.round(took)} ms`);
  assert.ok(took < 8000, "Concourse waits ten seconds");
  assert.notEqual(run.status, 0);
  assert.equal(run.stdout, "");
  assert.doesNotMatch(run.stderr, /This is a bug/);
  assert.deepEqual(run.leftovers, []);
  await gone(mark);
  return run;
}

const runs = (mark: string, program: RegExp) => async () =>
  (await processesOf(mark)).some((command) => program.test(command));

test("aborted while its request is read, a step ends", async (context) => {
  for (const name of ["out", "in", "check"] as const) {
    const mark = newMark();
    await using silent = await startSilentServer();
    // Its stdin is the socket of a peer that never says anything.
    const under = ["bash", "-c", 'exec "$@" </dev/tcp/127.0.0.1/$PORT', "bash"];
    const env = { [mark]: "1", PORT: String(silent.port) };
    const started = await startResource(name, { args: ["/nonexistent"], under, env });
    await until(runs(mark, /main/), "the step's own process");
    await abort(started, mark, context);
  }
});

test("aborted while its daemon starts, a put ends with it", async (context) => {
  await using site = await makeSite("");
  const mark = newMark();
  const started = await site.startPut({}, {}, { env: { [mark]: "1" } });
  await until(runs(mark, /^buildkitd\0/), "a buildkitd");
  await abort(started, mark, context);
});

test("aborted while the context is sent, a put ends", async (context) => {
  await using site = await makeSite("");
  await writeFile(join(site.inputs, "app/large"), "");
  await truncate(join(site.inputs, "app/large"), 2 ** 33);
  const mark = newMark();
  const params = { dockerfile_inline: "FROM scratch\nCOPY large /\n" };
  const started = await site.startPut(params, {}, { env: { [mark]: "1" } });
  await started.wrote(/building with/);
  await until(runs(mark, /^buildctl\0.*\0build\0/), "a buildctl");
  await abort(started, mark, context);
  assert.deepEqual(await readdir(join(site.folder, "builds")), []);
});

const noisy = "FROM scratch\nCOPY noise /\n";

async function makeNoisySite(store?: Readonly<Record<string, unknown>>) {
  const site = await makeSite("", store);
  const noise = randomBytes(randomFrom(5), 1 << 20);
  await writeFile(join(site.inputs, "app/noise"), Buffer.concat(Array.from({ length: 64 }, () => noise)));
  return site;
}

test("aborted while BuildKit exports, or while it commits, a put stores nothing", async (context) => {
  await using daemon = await startBuildkitd();
  await using site = await makeNoisySite();
  const builds = join(site.folder, "builds");
  for (const moment of ["export-0", "build"]) {
    const mark = newMark();
    const params = { dockerfile_inline: noisy };
    const buildkit = { address: daemon.address };
    const started = await site.startPut(params, { buildkit }, { env: { [mark]: "1" } });
    await until(async () => {
      const names = existsSync(builds) ? await readdir(builds) : [];
      return names.some((name) => existsSync(join(builds, name, moment)));
    }, moment);
    await abort(started, mark, context);
    assert.deepEqual(await readdir(builds), []);
  }
  versionOf(await site.put({ dockerfile_inline: noisy }, { buildkit: { address: daemon.address } }));
});

test("aborted while BuildKit pushes, a put tags nothing", async (context) => {
  await using daemon = await startBuildkitd();
  await using registry = await startRegistry();
  await using site = await makeNoisySite({ repository: `${registry.host}/team/app`, insecure: true });
  const mark = newMark();
  const started = await site.startPut(
    { dockerfile_inline: noisy, tags: ["latest"] },
    { buildkit: { address: daemon.address } },
    { env: { [mark]: "1" } },
  );
  await until(
    () => (registry.log().match(/POST \/v2\/team\/app\/blobs\/uploads/g)?.length ?? 0) > 1,
    "a push",
  );
  await abort(started, mark, context);
  assert.doesNotMatch(registry.log(), /PUT \/v2\/team\/app\/manifests\/(latest|build-)/);
});

test("aborted while it unpacks, or while it fetches, a get delivers nothing", async (context) => {
  await using daemon = await startBuildkitd();
  await using registry = await startRegistry();
  const buildkit = { address: daemon.address };
  for (const store of [undefined, { repository: `${registry.host}/team/app`, insecure: true }]) {
    await using site = await makeNoisySite(store);
    const { version } = versionOf(await site.put({ dockerfile_inline: noisy }, { buildkit }));
    for (const params of [{ unpack_rootfs: true, image_tar: false }, { output_oci: true }, {}]) {
      const to = join(site.folder, `get-${crypto.randomUUID()}`);
      await mkdir(to);
      const mark = newMark();
      const stdin = { source: site.source, version, params };
      const started = await startResource("in", { args: [to], stdin, env: { [mark]: "1" } });
      await until(async () => (await readdir(to)).length > 0, "something in the destination");
      await abort(started, mark, context);
      assert.deepEqual(await readdir(to), []);
    }
  }
});

test("no child holds stdout or stderr after a put or a get has ended", async () => {
  await using site = await makeSite("");
  const mark = newMark();
  const started = await site.startPut({}, {}, { env: { [mark]: "1" } });
  const run = await started.result; // Which waits for both to be closed by everybody.
  versionOf(run);
  assert.deepEqual(await processesOf(mark), []);
  assert.doesNotMatch(await readFile("/proc/self/mounts", "utf8"), /oci-build-state-/);
});

test("aborted at a RUN, or while it delivers, a task leaves nothing in its output", async (context) => {
  await using site = await makeNoisySite();
  // Concourse makes a task's outputs before it begins.
  const output = join(site.inputs, "image");
  await mkdir(output);
  const moments = [
    {
      what: /running/,
      dockerfile: `FROM scratch\nCOPY busybox /\nRUN ["/busybox", "sh", "-c", "echo running; /busybox sleep 600"]\n`,
    },
    { what: "files of the output", dockerfile: noisy },
  ];
  for (const { what, dockerfile } of moments) {
    await writeFile(join(site.inputs, "app/Dockerfile"), dockerfile);
    const mark = newMark();
    const env = { CONTEXT: "app", UNPACK_ROOTFS: "true", [mark]: "1" };
    const started = await startResource("build", { cwd: site.inputs, env });
    if (what instanceof RegExp) await started.wrote(what);
    else await until(async () => (await readdir(output)).length > 0, what);
    await abort(started, mark, context);
    assert.deepEqual(await readdir(output), []);
    assert.deepEqual((await readdir(site.inputs)).toSorted(), ["app", "image"]);
  }
});

test("aborted at any moment, a put, a get or a task leaves nothing, and says so", async () => {
  await using fuzzer = await startAbortFuzzer();
  let whole = 0;
  for (let seed = 1; seed <= 25; seed++) if (await fuzzer.try(seed)) whole++;
  assert.ok(whole < 20, `${whole} came to their end before`);
});

test("a put that is killed whenever it or a child of it starts a process or a thread leaves none", async () => {
  await using site = await makeSite("");
  const calls = "clone,clone3,fork,vfork";
  for (let call = 1; call <= 12; call++) {
    const mark = newMark();
    // Calls are counted by thread.
    const under = injecting(calls, `signal=SIGKILL:when=${call}`);
    const run = await site.put({}, {}, { under: [...ownDisk, ...under], env: { [mark]: "1" } });
    assert.notEqual(run.status, 0);
    await gone(mark);
  }
});

test("a put that is killed before its daemon has asked to die with it leaves none", async () => {
  await using site = await makeSite("");
  const mark = newMark();
  // Slow at asking (prctl(2)), unshare(1) is there, and the process that is to be buildkitd, and nothing else yet.
  const under = injecting("prctl", "delay_enter=1000000");
  const started = await site.startPut({}, {}, { under: [...ownDisk, ...under], env: { [mark]: "1" } });
  await until(
    async () => (await processesOf(mark)).filter((command) => command.startsWith("unshare\0")).length > 1,
    "both",
  );
  await killProcesses(mark, /^node\0/);
  await started.result;
  await gone(mark);
});

test("a put whose log nobody reads any more goes on, and one whose answer can't be written says so", async () => {
  await using site = await makeSite("");
  const unread = ["bash", "-c", 'exec 2> >(exec true); exec "$@"', "bash"];
  versionOf(await site.put({}, {}, { under: unread }));
  const full = ["bash", "-c", 'exec > /dev/full; exec "$@"', "bash"];
  const run = await site.put({}, {}, { under: full });
  assertFailedCleanly(run, /error: the response can't be written to stdout: ENOSPC/);
});

test("aborted while there is much to remove, a put ends in time all the same, and says what it leaves", async (context) => {
  await using site = await makeSite("RUN echo running; sleep 600\n");
  const mark = newMark();
  const under = injecting("unlinkat", "delay_enter=150000");
  const started = await site.startPut({}, {}, { under, env: { [mark]: "1" } });
  await started.wrote(/\] running/);
  const begun = performance.now();
  await killProcesses(mark, /^node\0/, "SIGTERM");
  const run = await started.result;
  const took = performance.now() - begun;
  context.diagnostic(`it ended after ${Math.round(took)} ms`);
  assert.ok(took < 8000, "Concourse waits ten seconds");
  await gone(mark);
  const [, left = ""] =
    /warning: (\S+) could not be removed: an abort leaves no time for it/.exec(run.stderr) ?? [];
  assert.match(left, /\/oci-build-state-/);
  await rm(left, { recursive: true });
});
