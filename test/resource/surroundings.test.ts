import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { execa } from "execa";
import { bundledResource } from "../support/runs/bundled-resource.ts";
import { processesOf } from "../support/runs/processes.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import {
  assertFailedCleanly,
  type Executable,
  type Run,
  type RunOptions,
  runResource,
  versionOf,
} from "../support/runs/resource.ts";
import { injecting } from "../support/runs/strace.ts";
import { toolEnvironment } from "../support/runs/test-step.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";

const [site] = await untilTestsEnd(
  makeSite("RUN echo a > /a && ln /a /hard && ln -s a /symbolic && chown 1:1 /a && echo b > /B\n"),
);
const { version } = versionOf(await site.put({}));

/** A new path in the site's folder, at which nothing is. */
const place = () => join(site.folder, crypto.randomUUID());

interface Tried {
  readonly under?: RunOptions["under"];
  readonly env?: RunOptions["env"];
  /** The folder of a get. */
  readonly to?: string;
}

/** A put by a BuildKit of its own into a new store, or a get of `rootfs/`. Neither may leave anything. */
async function fails(name: "out" | "in", how: Tried, message: RegExp): Promise<void> {
  const directory = place();
  const to = how.to ?? place();
  const mark = `SURROUNDINGS_${crypto.randomUUID().replaceAll("-", "")}`;
  const run = await runResource(name, {
    under: how.under ?? [],
    env: { NO_COLOR: "1", ...how.env, [mark]: "1" },
    args: [name === "in" ? to : site.inputs],
    stdin:
      name === "in"
        ? { source: site.source, version, params: { unpack_rootfs: true, image_tar: false } }
        : { source: { directory }, params: { context: "app" } },
  });
  assertFailedCleanly(run, message);
  assert.deepEqual(await processesOf(mark), []);
  for (const made of [directory, to]) assert.deepEqual(await readdir(made).catch(() => []), []);
}

/** A program's arguments by which another one runs after a shell's command, in a mount namespace. */
const having = (command: string): string[] => [
  "unshare",
  "--mount",
  "sh",
  "-c",
  `${command} && exec "$@"`,
  "sh",
];

for (const name of ["out", "in"] as const)
  test(`${name} without /proc says that it needs it`, async () => {
    const message = /^error: \/proc\/self: \/proc is not mounted in this container\. Mount it/m;
    await fails(name, { under: having("umount --lazy /proc") }, message);
    await fails(name, { under: having("mount -t tmpfs -o ro tmpfs /proc") }, message);
  });

for (const [calls, error, words] of [
  ["link,linkat", "EPERM", 'refuses it (linkat "hard": EPERM)'],
  ["symlink,symlinkat", "EPERM", "refuses it (symlinkat "],
  ["chown,fchown,fchownat", "EOPNOTSUPP", "refuses it (chown "],
  ["utimensat", "EPERM", "refuses it (futimens: EPERM)"],
  ["rename", "EXDEV", "refuses it (EXDEV: "],
  ["mkdirat", "ENAMETOOLONG", "a name in it is longer than its filesystem allows"],
] as const)
  test(`a get into a filesystem whose ${calls} fail with ${error} says so, and delivers nothing`, async () => {
    const named = new RegExp(`^error: ${site.folder}/\\S+: .*${words.replaceAll(/[()]/g, "\\$&")}`, "m");
    await fails("in", { under: injecting(calls, `error=${error}`) }, named);
  });

test("a destination that can't be a folder is named", async () => {
  const [file, link] = [place(), place()];
  await writeFile(file, "");
  await symlink("/nonexistent/folder", link);
  for (const [to, code] of [
    [file, "EEXIST"],
    [join(file, "below"), "ENOTDIR"],
    [link, "ENOENT"],
  ] as const)
    await fails(
      "in",
      { to },
      new RegExp(`^error: the destination ${to} is not a folder.*\\(${code}\\)`, "m"),
    );
});

test("a step whose own folder is gone says so", async () => {
  const folder = place();
  const leave = having(`mkdir ${folder} && cd ${folder} && rmdir ${folder}`);
  for (const name of ["out", "in"] as const)
    await fails(name, { under: leave }, /the folder in which this step was started is gone/);
});

test("a TMPDIR in which BuildKit's socket can't be is refused at once, and others with odd names are not", async () => {
  for (const [name, words] of [
    ["a#b", 'holds "#", "%", "\\?" or a control character'],
    ["a\nb", 'holds "#", "%", "\\?" or a control character'],
    ["x".repeat(90), "has \\d+ bytes, and the path of a socket may have 106"],
  ] as const) {
    const folder = join(site.folder, name);
    await mkdir(folder);
    await fails("out", { env: { TMPDIR: folder } }, new RegExp(`${words}.*; let TMPDIR name another`));
    assert.deepEqual(await readdir(folder), []);
  }
  const odd = join(site.folder, "ü '\",;&[");
  await mkdir(odd);
  versionOf(await site.put({}, { directory: place() }, { env: { TMPDIR: odd } }));
  assert.deepEqual(await readdir(odd), []);
});

test("a limit that ends BuildKit is named, with what raises it", async () => {
  const files =
    /buildkitd ended with status 1: the file is larger than this step may write\. Raise .*-f\); the end/;
  await fails("out", { under: ["prlimit", "--fsize=10000"] }, files);
  // The launcher of a task starts no other process; libc starts threads by another call.
  const run = await runResource("build", {
    under: injecting("clone,fork,vfork", "error=EAGAIN"),
    cwd: site.inputs,
    outputs: [],
    env: { NO_COLOR: "1", CONTEXT: "app" },
  });
  assertFailedCleanly(
    run,
    /can't be started \(EAGAIN\): this step has as many processes and threads as it may/,
  );
});

const commands: readonly Executable[] = ["check", "in", "out", "build", "validate"];

test("a PATH without a Node that is new enough is told", async () => {
  const old = join(site.folder, "older.cjs");
  await writeFile(
    old,
    'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.1.0" } });\n',
  );
  for (const name of commands) {
    const run = (how: Pick<RunOptions, "env" | "under">): Promise<Run> =>
      runResource(name, {
        args: [place()],
        cwd: site.inputs,
        outputs: [],
        ...how,
        env: { NO_COLOR: "1", ...how.env },
      });
    for (const path of ["/nonexistent", ""])
      assertFailedCleanly(
        await run({ under: ["sh", "-c", `PATH='${path}' exec "$@"`, "sh"] }),
        /^error: there is no node on PATH \(.*\).*keep that folder on PATH$/m,
      );
    const { PATH } = toolEnvironment();
    const tooOld = await run({ env: { PATH, NODE_OPTIONS: `--require ${old}` } });
    assertFailedCleanly(tooOld, /^error: the first node on PATH is Node\.js 20\.1\.0; expected 24 or newer/m);
  }
});

test("a standard input that can't be read is told", async () => {
  for (const name of ["check", "in", "out", "validate"] as const) {
    const under = ["sh", "-c", 'exec "$@" 0>/dev/null', "sh"];
    const run = await runResource(name, { args: name === "validate" ? [] : [place()], under });
    assertFailedCleanly(run, /stdin can't be read \(EBADF: .*\); expected the request on it$/m);
  }
});

test("a request that is not JSON is told with the place, and without what is there", async () => {
  const request = JSON.stringify({ source: site.source, version: null });
  for (const [stdin, words] of [
    [request.slice(0, -1), "is not JSON \\(cut off\\?\\)"],
    [request.slice(0, 20), "is not JSON \\(cut off\\?\\)"],
    [
      `${request}\n${request}`,
      `is not JSON \\(something follows its end, at character ${request.length + 2}\\)`,
    ],
    [`${request}\0`, `is not JSON \\(something follows its end, at character ${request.length + 1}\\)`],
    ['{"source" {}}', "is not JSON \\(at character 11\\)"],
    ["<html>hunter2", "is not JSON"],
  ] as const) {
    const run = await runResource("check", { stdin });
    assertFailedCleanly(run, new RegExp(`the request on stdin ${words}; expected`));
    assert.doesNotMatch(run.output, /hunter2/);
  }
});

test("a thread whose file fails ends a get by that error, from the snapshot too", async () => {
  const from = place();
  await execa("cp", ["-a", await bundledResource(), from]);
  for (const file of ["writer.mjs", "producer.mjs"]) {
    const path = join(from, "dist", file);
    const whole = await readFile(path, "utf8");
    await writeFile(path, `throw new Error("thrown by ${file}");\n`);
    const to = place();
    const params = { unpack_rootfs: true, image_tar: false };
    const run = await runResource("in", {
      from,
      args: [to],
      env: { PATH: toolEnvironment()["PATH"] },
      stdin: { source: site.source, version, params },
    });
    assert.equal(run.status, 2, run.output);
    assert.match(run.stderr, new RegExp(`Error: thrown by ${file}`));
    assert.deepEqual(await readdir(to), []);
    await writeFile(path, whole);
  }
});

test("a store that the step's user may not read is told as that, and not as a build that is gone", async () => {
  const store = place();
  await execa("cp", ["-a", join(site.folder, "builds"), store]);
  const to = place();
  await mkdir(to);
  await chmod(to, 0o777);
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  for (const closed of [store, join(store, `build-${version.digest.slice("sha256:".length)}`)]) {
    await chmod(site.folder, 0o755);
    await chmod(closed, 0o700);
    const stdin = { source: { directory: store }, version, params: {} };
    const run = await runResource("in", { args: [to], stdin, under: nobody });
    assertFailedCleanly(run, new RegExp(`${store}\\S*: this step's user may not use it`));
    await chmod(closed, 0o755);
  }
});

test("a log that is read late is there to its end", async () => {
  const directory = place();
  const lines = '"/busybox yes line | /busybox head -n 50000"';
  const dockerfile = `FROM scratch\nCOPY busybox /busybox\nRUN ["/busybox", "sh", "-c", ${lines}]\n`;
  const params = { context: "app", dockerfile_inline: dockerfile, progress: "plain" };
  const child = spawn(join(await bundledResource(), "out"), [site.inputs], {
    env: { ...toolEnvironment(), NO_COLOR: "1" },
    stdio: "pipe",
  });
  child.stdin.end(JSON.stringify({ source: { directory }, params }));
  // The response comes after the last line of the log.
  await once(child.stdout, "data");
  const ended = once(child, "exit");
  const log = await text(child.stderr);
  assert.deepEqual(await ended, [0, null]);
  assert.match(log, /\nstored sha256:\S+ in directory \S+\n$/);
  assert.ok(log.length > 500_000, `${log.length} characters`);
});
