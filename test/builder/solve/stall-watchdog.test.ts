import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { reachRemoteDaemon } from "../../../src/builder/engine/remote-daemon.ts";
import type { StepName } from "../../../src/builder/progress/step.ts";
import { watchForStalls } from "../../../src/builder/solve/stall-watchdog.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { createTestStep } from "../../support/runs/test-step.ts";
import { startBuildkitd } from "../../support/servers/buildkit.ts";

const run: StepName = { place: "1/1", text: "RUN make", isInstruction: true };
const push: StepName = { place: "", text: "exporting to image", isInstruction: false };
const silence = { cache: 60_000, daemon: 500 };

test("a daemon that freezes in a silence is found out, and one that answers is waited for, with words", async () => {
  await using daemon = await startBuildkitd();
  await using folder = await createPrivateFolder("test-watch");
  const step = createTestStep();
  const engine = await reachRemoteDaemon(
    { address: daemon.address },
    { step, workspace: folder.path, name: "remote" },
  );
  let asked = 0;
  const { promise: isAsked, resolve } = Promise.withResolvers<void>();
  const counted = {
    ...engine,
    diagnose: async () => {
      const problem = await engine.diagnose();
      if (++asked === 3) resolve();
      return problem;
    },
  };
  using watch = watchForStalls({
    engine: counted,
    progress: { running: () => [run, push] },
    silence,
    log: step.log,
  });
  await isAsked;
  assert.equal(watch.signal.aborted, false);
  assert.match(step.logged(), /no progress for \d\.\d s: still at \[1\/1\] RUN make; exporting to image\n/);
  process.kill(daemon.pid, "SIGSTOP");
  try {
    await once(watch.signal, "abort");
    assert.match(String(watch.signal.reason), /^BuildKit at unix:\S+ can't be used: /);
  } finally {
    process.kill(daemon.pid, "SIGCONT");
  }
});
