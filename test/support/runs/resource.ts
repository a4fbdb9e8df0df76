import assert from "node:assert/strict";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { startChild } from "../../../src/host/child.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { sendSignal } from "../servers/http-server.ts";
import { bundledResource, pathWithTools } from "./bundled-resource.ts";
import { assertPublished } from "./schemas.ts";

export type Executable = "check" | "in" | "out" | "build" | "validate";

export interface RunOptions {
  /** The request: a value is sent as its JSON, text and bytes as they are; nothing at all for `build`. */
  readonly stdin?: unknown;
  /** The folder that Concourse names on the command line (`out`: the put's folder, `in`: the destination). */
  readonly args?: readonly string[];
  /** Added to what Concourse sets; a variable set to undefined is left out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Concourse runs a resource's executables in `/` and a task's in the task's folder. */
  readonly cwd?: string;
  /** The outputs of a task, of which Concourse makes a folder each; by default all that it can deliver into. */
  readonly outputs?: readonly string[];
  /** The folder of the executables; by default that of the bundle, with the checkout's Node and tools on PATH. */
  readonly from?: string;
  /** A program that runs the executable, and its arguments before it: `["strace", "-f"]`. */
  readonly under?: readonly string[];
}

export interface Run {
  /** Exit status, or undefined when a signal ended it. */
  readonly status: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout and stderr in the order they were written. */
  readonly output: string;
  /** What the run left behind in its folder for temporary files, which is removed after it. */
  readonly leftovers: readonly string[];
  readonly milliseconds: number;
}

export interface StartedRun {
  readonly pid: number;
  /** Sends a signal to the executed process alone, as Concourse does. */
  kill(signal: NodeJS.Signals): void;
  /** Everything written so far, stdout and stderr. */
  readonly output: () => string;
  /** Waits until the output matches; a run that ends without it is an error that shows the output. */
  wrote(pattern: RegExp): Promise<void>;
  readonly result: Promise<Run>;
}

/**
 * Starts one of the resource's executables as Concourse does: cwd `/`, HOME, the BUILD_ variables, the folder on
 * the command line, one JSON document on stdin, and no TTY. TMPDIR is a folder of the run's own. A request that
 * succeeds has to be one that the published JSON Schemas allow.
 */
export async function startResource(name: Executable, options: RunOptions = {}): Promise<StartedRun> {
  const { stdin, args = [], cwd = "/", under = [], from = await bundledResource() } = options;
  const { PATH = "", ...common } = concourseEnvironment(name);
  const env = { ...common, PATH: options.from === undefined ? pathWithTools(PATH) : PATH, ...options.env };
  const { outputs = name === "build" ? allOutputs(env) : [] } = options;
  for (const output of outputs) await mkdir(join(cwd, output), { recursive: true });
  const temporary = await createPrivateFolder("test-run");
  const input =
    typeof stdin === "string" || stdin instanceof Uint8Array ? stdin : (JSON.stringify(stdin) ?? "");
  const begun = performance.now();
  const step = {
    env: { TMPDIR: temporary.path, ...env },
    signal: AbortSignal.any([]),
  };
  const [program, ...before] = [...under, join(from, name)] as unknown as [string, ...string[]];
  const child = startChild(step, program, [...before, ...args], {
    cwd,
    reject: false,
    all: true,
    stripFinalNewline: false,
    input,
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`assets/${name} could not be started`);
  let output = "";
  const readers = new Set<() => void>();
  child.all.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
    for (const read of readers) read();
  });
  const watchdog = setTimeout(() => void reportHang(name, pid, output), hangs);
  const result = (async (): Promise<Run> => {
    await using owned = temporary;
    const ended = await child.finally(() => clearTimeout(watchdog));
    const milliseconds = performance.now() - begun;
    if (ended.exitCode === 0 && name !== "validate") assertPublished(name, stdin);
    return {
      status: ended.exitCode,
      signal: ended.signal,
      stdout: ended.stdout,
      stderr: ended.stderr,
      output: ended.all,
      leftovers: await readdir(owned.path),
      milliseconds,
    };
  })();
  return {
    pid,
    kill: (signal) => sendSignal(pid, signal),
    output: () => output,
    result,
    wrote: async (pattern) => {
      const { promise: found, resolve } = Promise.withResolvers<void>();
      const read = () => pattern.test(output) && resolve();
      readers.add(read);
      read();
      await Promise.race([found, result]);
      readers.delete(read);
      assert.match(output, pattern);
    },
  };
}

function allOutputs(env: NonNullable<RunOptions["env"]>): string[] {
  const targets = (env["ADDITIONAL_TARGETS"] ?? "").split(",").map((target) => target.trim());
  return ["image", ...targets.filter((target) => /^\w[\w.-]*$/.test(target) && target !== "cache")];
}

/** Milliseconds. No run of a test takes so long; one that does waits for what never comes. */
const hangs = 240_000;

/** Shows what a run waits for, and ends it with its children. */
async function reportHang(name: Executable, pid: number, output: string): Promise<void> {
  const { stdout } = await execa("ps", ["-eo", "pid,ppid,stat,wchan:24,etimes,args", "--forest"]);
  process.stderr.write(`assets/${name} (${pid}) hangs; it wrote:\n${output}\nprocesses:\n${stdout}\n`);
  sendSignal(pid, "SIGKILL");
}

/** Runs one of the resource's executables to its end. See {@link startResource}. */
export async function runResource(name: Executable, options: RunOptions = {}): Promise<Run> {
  const started = await startResource(name, options);
  return started.result;
}

/** The response of a run that must have succeeded: status 0, one JSON document on stdout, no temporary files left. */
export function responseOf(run: Run): unknown {
  assert.equal(run.status, 0, `status ${run.status ?? run.signal}; it wrote:\n${run.output}`);
  assert.deepEqual(run.leftovers, [], "temporary files left behind");
  return JSON.parse(run.stdout);
}

/** The response of a put or a get that must have succeeded. */
export function versionOf(run: Run): {
  version: { digest: string };
  metadata: { name: string; value: string }[];
} {
  const response = responseOf(run);
  assert.ok(
    typeof response === "object" && response !== null && "version" in response && "metadata" in response,
  );
  const { version, metadata } = response as ReturnType<typeof versionOf>;
  assert.match(version.digest, /^sha256:[0-9a-f]{64}$/);
  assert.ok(metadata.every((field) => typeof field.name === "string" && typeof field.value === "string"));
  return { version, metadata };
}

/**
 * Asserts that a run failed as one whose cause the pipeline author can put right: status 1, nothing on stdout, a
 * message that matches on stderr without a stack, no temporary files left.
 */
export function assertFailedCleanly(run: Run, message: RegExp): void {
  assert.match(run.stderr, message);
  assert.equal(run.status, 1, `status ${run.status ?? run.signal}; it wrote:\n${run.output}`);
  assert.equal(run.stdout, "");
  assert.doesNotMatch(run.stderr, /^\s+at .+:\d+:\d+\)?$/m, "a stack was shown");
  assert.deepEqual(run.leftovers, [], "temporary files left behind");
}

/** What Concourse sets for a step; checks belong to no job (docs: "Resource metadata"). */
function concourseEnvironment(name: Executable): Record<string, string> {
  const common = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: "/root",
    USER: "root",
    ATC_EXTERNAL_URL: "https://concourse.example",
    BUILD_PIPELINE_NAME: "images",
    BUILD_PIPELINE_ID: "7",
    BUILD_TEAM_NAME: "main",
    BUILD_TEAM_ID: "1",
  };
  if (name === "check") return common;
  return {
    ...common,
    BUILD_ID: "4242",
    BUILD_NAME: "12",
    BUILD_JOB_NAME: "build",
    BUILD_JOB_ID: "3",
    BUILD_URL: "https://concourse.example/teams/main/pipelines/images/jobs/build/builds/12",
    BUILD_URL_SHORT: "https://concourse.example/builds/4242",
  };
}
