import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startBuildkitd } from "../servers/buildkit.ts";
import { startRegistry } from "../servers/registry.ts";
import { withListedDisk } from "./disks.ts";
import type { Fuzzer } from "./fuzzers.ts";
import { gone, killProcesses, newMark } from "./processes.ts";
import { makeSite, type Site } from "./put-and-get.ts";
import { randomFrom } from "./random.ts";
import { type Run, type StartedRun, startResource, versionOf } from "./resource.ts";

const dockerfile = "RUN echo a > /a\nRUN echo b > /b\nFROM shell AS other\nRUN echo c > /c\n";

/** One kind of step, to be ended at a moment that the seed decides. */
interface Step {
  /** Milliseconds that it takes, about. */
  readonly takes: number;
  start(env: Readonly<Record<string, string>>, under: readonly string[]): Promise<StartedRun>;
  /** Looks at what a run that was ended has left where it stores or delivers. */
  leftNothing(): Promise<void>;
}

/** Puts, gets and tasks that get SIGTERM at any moment: each ends soon, says so, and leaves nothing. */
export async function startAbortFuzzer(): Promise<Fuzzer> {
  await using held = new AsyncDisposableStack();
  const registry = held.use(await startRegistry());
  const daemon = held.use(await startBuildkitd());
  const directory = held.use(await makeSite(dockerfile));
  const repository = { repository: `${registry.host}/team/app`, insecure: true };
  const elsewhere = held.use(await makeSite(dockerfile, repository));
  const steps: Step[] = [putOf(directory, {}), putOf(elsewhere, { cache: true }), taskOf(directory)];
  for (const site of [directory, elsewhere]) {
    const { version } = versionOf(await site.put({}, { buildkit: { address: daemon.address } }));
    steps.push(getOf(site, version));
  }
  const owned = held.move();
  return {
    try: async (seed) => {
      const random = randomFrom(seed);
      const step = steps[Math.floor(random() * steps.length)] as Step;
      const run = await endedAt(step, random() * step.takes, join(directory.folder, "listing"));
      if (run.status === 0) return true;
      await step.leftNothing();
      return false;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function endedAt(step: Step, moment: number, listing: string): Promise<Run> {
  const mark = newMark();
  // The states of daemons are made there.
  const under = withListedDisk("/var/lib", "size=200m", listing);
  const started = await step.start({ NO_COLOR: "1", [mark]: "1" }, under);
  await delay(moment);
  const begun = performance.now();
  await killProcesses(mark, /^node\0/, "SIGTERM");
  const run = await started.result;
  assert.ok(performance.now() - begun < 8000, "Concourse waits ten seconds");
  assert.deepEqual(run.leftovers, []);
  assert.doesNotMatch(await readFile(listing, "utf8"), /oci-build/);
  await gone(mark);
  if (run.status === 0) return run;
  assert.equal(run.status, 143, run.output);
  assert.equal(run.stdout, "");
  // The latter says the shell of a Node that has not begun yet.
  assert.match(run.stderr, /^(aborted by SIGTERM|Terminated)$/m);
  return run;
}

function putOf(site: Site, source: Readonly<Record<string, unknown>>): Step {
  const params = { additional_targets: ["other"], no_cache: true, provenance: "max" };
  return {
    takes: 3000,
    start: (env, under) => site.startPut(params, source, { env, under }),
    leftNothing: async () => {
      const builds = join(site.folder, "builds");
      const names = await readdir(builds).catch(() => []);
      for (const name of names) assert.match(name, /^build-[0-9a-f]{64}$/);
    },
  };
}

function taskOf({ inputs }: Site): Step {
  const params = { CONTEXT: "app", ADDITIONAL_TARGETS: "other", UNPACK_ROOTFS: "true" };
  const delivered = ["image", "other"].map((name) => join(inputs, name));
  return {
    takes: 3500,
    start: async (env, under) => {
      await mkdir(join(inputs, "cache"), { recursive: true });
      for (const folder of delivered) await rm(folder, { recursive: true, force: true });
      return startResource("build", { cwd: inputs, env: { ...params, ...env }, under });
    },
    leftNothing: async () => {
      assert.deepEqual((await readdir(inputs)).toSorted(), ["app", "cache", "image", "other"]);
      for (const folder of delivered) assert.deepEqual(await readdir(folder), []);
    },
  };
}

function getOf(site: Site, version: { readonly digest: string }): Step {
  const to = join(site.folder, "got");
  return {
    takes: 600,
    start: async (env, under) => {
      await rm(to, { recursive: true, force: true });
      await mkdir(to);
      const stdin = { source: site.source, version, params: { unpack_rootfs: true } };
      return startResource("in", { args: [to], stdin, env, under });
    },
    leftNothing: async () => assert.deepEqual(await readdir(to), []),
  };
}
