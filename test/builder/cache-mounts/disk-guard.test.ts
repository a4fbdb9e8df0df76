import assert from "node:assert/strict";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { guardDisk } from "../../../src/builder/cache-mounts/disk-guard.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { until } from "../../support/runs/wait-until.ts";

const budget = 20e6;

/** Makes folders in each other whose path is longer than Linux takes in one call. */
async function makeDeep(cwd: string): Promise<void> {
  const script = 'for i in $(seq 15); do mkdir "$1" && cd "$1"; done; mkdir -p "$1/$1/$1"';
  await execa("sh", ["-ec", script, "sh", "n".repeat(250)], { cwd });
}

async function fill(path: string): Promise<void> {
  await using file = await open(path, "wx");
  await file.writeFile(Buffer.alloc(2 * budget, 1));
  await file.sync();
}

test("folders too deep to be read are what a daemon writes now, but not if a build has left them", async () => {
  await using place = await createPrivateFolder("test-guard");
  const [state, beside] = [join(place.path, "state"), join(place.path, "beside")];
  for (const folder of [state, join(state, "old"), join(state, "new"), beside]) await mkdir(folder);
  await using _ = { [Symbol.asyncDispose]: async () => void (await execa("rm", ["-rf", state])) };
  await makeDeep(join(state, "old"));
  // The guard allows for the clock of the kernel's files.
  await delay(200);
  let looks = 0;
  const besides = () => {
    looks++;
    return 0;
  };
  await using guard = guardDisk([state], { bytes: budget, ignoresBlobs: false, besides });
  const looksAgain = async () => {
    const next = looks + 2;
    await until(() => looks >= next || guard.signal.aborted, "the guard looks again");
  };
  await looksAgain();
  await fill(join(beside, "first"));
  await looksAgain();
  assert.equal(guard.signal.aborted, false);
  await makeDeep(join(state, "new"));
  // The guard looks at files only if the disk has less room than before, and others may free some meanwhile.
  for (let at = 0; at < 20 && !guard.signal.aborted; at++) {
    await fill(join(beside, `${at}`));
    await looksAgain();
  }
  assert.equal(guard.signal.aborted, true);
});
