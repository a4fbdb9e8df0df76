import assert from "node:assert/strict";
import { test } from "node:test";
import { concourseLimit, exitTime, tidyingTime } from "../../src/host/abort-budget.ts";
import { settles } from "../../src/host/settles.ts";

test("what an abort may take is less than Concourse allows, with a second to spare", () => {
  assert.ok(tidyingTime < exitTime);
  assert.ok(exitTime <= concourseLimit - 1_000, `${exitTime} ms`);
});

test("waiting for what never ends stops at the abort, and tells an end from an abort", async () => {
  const never = new Promise(() => {});
  const controller = new AbortController();
  const waiting = settles(never, controller.signal);
  controller.abort();
  assert.equal(await waiting, false);
  assert.equal(await settles(never, controller.signal), false);
  assert.equal(await settles(Promise.resolve(), new AbortController().signal), true);
  await assert.rejects(settles(Promise.reject(new Error("gone")), new AbortController().signal), /gone/);
});
