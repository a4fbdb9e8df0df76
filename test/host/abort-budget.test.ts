import assert from "node:assert/strict";
import { test } from "node:test";
import { concourseLimit, exitTime, tidyingTime } from "../../src/host/abort-budget.ts";
import { settlesBefore } from "../../src/host/settles-before.ts";

test("what an abort may take is less than Concourse allows, with a second to spare", () => {
  assert.ok(tidyingTime < exitTime);
  assert.ok(exitTime <= concourseLimit - 1_000, `${exitTime} ms`);
});

test("waiting for what never ends stops at the abort, and tells an end from an abort", async () => {
  const never = new Promise(() => {});
  const controller = new AbortController();
  const waiting = settlesBefore(never, controller.signal);
  controller.abort();
  assert.equal(await waiting, false);
  assert.equal(await settlesBefore(never, controller.signal), false);
  assert.equal(await settlesBefore(Promise.resolve(), new AbortController().signal), true);
  await assert.rejects(
    settlesBefore(Promise.reject(new Error("gone")), new AbortController().signal),
    /gone/,
  );
});
