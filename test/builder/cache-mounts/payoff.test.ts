import assert from "node:assert/strict";
import { test } from "node:test";
import {
  balanceOf,
  type MountsTrial,
  mostLosses,
  noPayoff,
  type Payoff,
  pausedUntil,
  pauseLength,
  remember,
} from "../../../src/builder/cache-mounts/payoff.ts";

const mounts = [{ id: "/root/.npm", ownership: "" }];
const group = { mounts, instructions: "--mount=type=cache,target=/root/.npm npm ci" };

function trial(seconds: number, more: Partial<MountsTrial> = {}): MountsTrial {
  const name = { place: "2/2", text: "RUN --mount=type=cache,target=/root/.npm npm ci", isInstruction: true };
  const ran = [{ digest: "sha256:1", name, seconds }];
  return { ...group, wereRestored: true, ran, restoring: 2, savedShare: 0, ...more };
}

const empty = remember(noPayoff, trial(10, { wereRestored: false, restoring: 0 }), 1);

/** What is remembered after builds that took these seconds with restored content. */
function after(...seconds: readonly number[]): Payoff {
  return seconds.reduce((payoff, took) => remember(payoff, trial(took), 2), empty);
}

test("a step's time with restored content is compared with that when its mounts were empty", () => {
  assert.deepEqual(balanceOf(empty, trial(4)), { gained: 6, lost: 2 });
  assert.deepEqual(balanceOf(empty, trial(12)), { gained: -2, lost: 2 });
  // Saving takes as long as restoring, byte for byte, and half of it counts.
  assert.deepEqual(balanceOf(empty, trial(4, { savedShare: 0.5 })), { gained: 6, lost: 2.5 });
});

test("there is no balance without content, without a step, or of a step whose time with empty mounts is unknown", () => {
  assert.equal(balanceOf(empty, trial(4, { wereRestored: false })), undefined);
  assert.equal(balanceOf(empty, trial(4, { wereRestored: undefined })), undefined);
  assert.equal(balanceOf(empty, trial(4, { ran: [] })), undefined);
  assert.equal(balanceOf(noPayoff, trial(4)), undefined);
  assert.equal(balanceOf(empty, trial(4, { instructions: "npm install" })), undefined);
  assert.deepEqual(remember(empty, trial(4, { ran: [] }), 3), empty);
});

test("mounts are paused when copying took longer than it saved in three builds in a row, not in fewer", () => {
  assert.equal(mostLosses, 3);
  for (const seconds of [[9.5], [9.5, 9.5], [9.5, 9.5, 4, 9.5, 9.5], [9.1, 9.1, 9.1, 9.1]])
    assert.equal(pausedUntil(after(...seconds), group, 3), undefined, seconds.join(", "));
  const paused = after(9.5, 4, 9.5, 12, 9.5);
  assert.equal(pausedUntil(paused, group, 3), 2 + pauseLength);
  assert.equal(pausedUntil(paused, { ...group, mounts: [] }, 3), undefined);
  assert.equal(pausedUntil(paused, { ...group, instructions: "npm install" }, 3), undefined);
  assert.equal(pausedUntil(paused, group, 2 + pauseLength), undefined);
  // After that they get three builds anew.
  const later = remember(paused, trial(9.5), 3 + pauseLength);
  assert.equal(pausedUntil(later, group, 4 + pauseLength), undefined);
});

test("a list whose author pauses mounts for longer than a pause is not believed", () => {
  const [record] = after(9.5, 9.5, 9.5).groups;
  assert.ok(record !== undefined);
  const forged = { steps: [], groups: [{ ...record, pausedUntil: 2 ** 52 }] };
  assert.equal(pausedUntil(forged, group, 3), undefined);
});

test("what is remembered stays small", () => {
  let payoff = noPayoff;
  for (let build = 0; build < 200; build++) {
    const [step] = trial(1).ran;
    assert.ok(step !== undefined);
    const ran = [{ ...step, name: { ...step.name, place: `${build}/200` } }];
    const own = [{ id: `/${build}`, ownership: "" }];
    payoff = remember(payoff, trial(1, { ran, mounts: own, wereRestored: false }), build);
  }
  assert.deepEqual([payoff.steps.length, payoff.groups.length], [50, 50]);
  assert.ok(payoff.groups.every(({ used }) => used >= 150));
});
