import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { openBuilder } from "../../../src/builder/builder.ts";
import { noLayerCache } from "../../../src/builder/plan/layer-cache.ts";
import { startChild } from "../../../src/host/child.ts";
import { createTestStep } from "../../support/runs/test-step.ts";

const defaults = {
  access: { hosts: new Map() },
  daemons: { kind: "own", sandbox: "auto" } as const,
  cache: noLayerCache,
  subject: "directory /builds",
  entitlements: [],
  daemonConfig: [],
  tracing: undefined,
};

/** Pids of processes whose command line holds `text`. */
async function processesWith(text: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const holding = pids.map(async (pid) => {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    return commandLine.includes(text) ? [pid] : [];
  });
  return (await Promise.all(holding)).flat();
}

test("a daemon of the step's own answers buildctl, and ends with all its processes, mounts and files", async () => {
  const step = createTestStep();
  const builder = await openBuilder({ ...defaults, step });
  const { workspace, pool } = builder;
  const [{ engines }] = await pool.share("", []);
  const { stdout } = await startChild(step, "buildctl", [...engines[0].connection, "debug", "workers"], {});
  assert.match(stdout, /linux\/amd64|linux\/arm64/);
  assert.notDeepEqual(await processesWith(workspace), []);
  await builder[Symbol.asyncDispose]();
  assert.deepEqual(await processesWith(workspace), []);
  assert.doesNotMatch(await readFile("/proc/self/mounts", "utf8"), /oci-build-state-/);
  await assert.rejects(readdir(workspace), { code: "ENOENT" });
});

test("a daemon that ends before it listens is answered with the end of its log", async () => {
  const text = "[worker.oci]\nsnapshotter = 'no-such-snapshotter'";
  const step = createTestStep();
  await assert.rejects(
    openBuilder({ ...defaults, step, daemonConfig: [{ subject: "buildkit_config", text }] }),
    {
      name: "UserError",
      message: /buildkitd ended with status 1; the end of its log:\n(.*\n)*.*no-such-snapshotter/,
    },
  );
});

test("an abort while the daemon starts leaves nothing behind", async () => {
  const step = createTestStep();
  const opening = openBuilder({ ...defaults, step });
  step.abort();
  await assert.rejects(opening);
});

test("a missing buildkitd is named, with what to install", async () => {
  const step = { ...createTestStep(), env: { PATH: "/usr/bin:/bin" } };
  await assert.rejects(openBuilder({ ...defaults, step }), {
    name: "UserError",
    message: /^buildkitd can't be started: \S.*\S\. Use .*install BuildKit 0\.31\.2/,
  });
});
