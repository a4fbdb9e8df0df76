import assert from "node:assert/strict";
import { test } from "node:test";
import {
  defaultTimeouts,
  isRetryableStatus,
  pauseBeforeRetry,
  retryAfterOf,
  retryPolicy,
  startRetries,
} from "../../src/registry/retry-policy.ts";

const policy = retryPolicy(defaultTimeouts);
const pauseAfter = (retryAfter: number, elapsed: number) =>
  pauseBeforeRetry(policy, { failures: 0, elapsed, retryAfter });

test("408, 429 and every 5xx are retried, a CDN's own ones included, and nothing else", () => {
  const statuses = Array.from({ length: 500 }, (_, index) => index + 100);
  const retried = statuses.filter(isRetryableStatus);
  assert.deepEqual(retried, [408, 429, ...statuses.filter((status) => status >= 500)]);
});

test("pauses double from a quarter of a second to 15 s", () => {
  const pauses = Array.from({ length: 9 }, (_, failures) =>
    pauseBeforeRetry(policy, { failures, elapsed: 0 }),
  );
  assert.deepEqual(pauses, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
});

test("a Retry-After is waited for, longer than any pause of our own, but not past the time there is", () => {
  assert.equal(pauseAfter(40_000, 0), 40_000);
  assert.equal(pauseAfter(40_000, 79_000), 40_000);
  assert.equal(pauseAfter(40_000, 100_000), 20_000);
  assert.equal(pauseAfter(86_400_000, 0), 120_000);
  assert.equal(pauseAfter(0, 0), 250);
});

test("the last pause ends with the time there is, and after it there is none", () => {
  assert.equal(pauseBeforeRetry(policy, { failures: 20, elapsed: 119_000 }), 1000);
  assert.equal(pauseBeforeRetry(policy, { failures: 20, elapsed: 120_000 }), undefined);
  assert.equal(pauseBeforeRetry(retryPolicy({ retry: 0 }), { failures: 0, elapsed: 0 }), undefined);
});

test("progress makes pauses and time begin anew", () => {
  let now = 5_000;
  const retries = startRetries(policy, () => now);
  assert.deepEqual([retries.pause(), retries.pause(), retries.pause()], [250, 500, 1000]);
  now += 119_900;
  assert.equal(retries.elapsed(), 119_900);
  assert.equal(retries.pause(), 100);
  retries.progress();
  assert.deepEqual([retries.pause(), retries.pause({ retryAfter: 40_000 })], [250, 40_000]);
  now += 120_000;
  assert.equal(retries.pause(), undefined);
});

test("Retry-After is a number of seconds or a date", () => {
  const now = Date.parse("2025-01-01T00:00:00Z");
  assert.equal(retryAfterOf("40", now), 40_000);
  assert.equal(retryAfterOf("Wed, 01 Jan 2025 00:00:07 GMT", now), 7_000);
  assert.equal(retryAfterOf("Tue, 31 Dec 2024 00:00:00 GMT", now), 0);
  assert.equal(retryAfterOf("soon", now), undefined);
  assert.equal(retryAfterOf(undefined, now), undefined);
});
