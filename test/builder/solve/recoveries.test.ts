import assert from "node:assert/strict";
import { test } from "node:test";
import {
  pushingAgain,
  type UsedCaches,
  withoutBrokenCaches,
  writingLostCacheAgain,
} from "../../../src/builder/solve/recoveries.ts";
import type { BuildctlOutcome } from "../../../src/builder/solve/run-buildctl.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { retryPolicy } from "../../../src/registry/retry-policy.ts";
import { createTestStep } from "../../support/runs/test-step.ts";

const summary = { steps: { run: 1, cached: 0 }, warnings: [], seconds: 1 };
const descriptor = {
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest: digestOf(Buffer.from("manifest")),
  size: 1,
};
const seen = { summary, answer: "", buildctl: undefined };
const built: BuildctlOutcome = { ...seen, result: { descriptor, proven: new Map() } };
const failed = (reason: string): BuildctlOutcome => ({
  ...seen,
  result: { failure: { message: `step [1/1] failed\n${reason}`, reason } },
});

const unread = failed("failed to compute cache key: failed to copy: httpReadSeeker: failed open: not found");
const unwritten = failed("failed to configure s3 cache exporter: bucket ($AWS_BUCKET) not set for s3 cache");
const busy = failed("failed to push registry.example/app: toomanyrequests: too many");
const mistake = failed('process "/bin/sh -c false" did not complete successfully: exit code: 1');

/** A solve that comes to each of these in turn, and what it was run with. */
function inTurn(...outcomes: BuildctlOutcome[]) {
  const runs: (UsedCaches | undefined)[] = [];
  const solve = async (caches?: UsedCaches): Promise<BuildctlOutcome> => {
    runs.push(caches);
    const outcome = outcomes[runs.length - 1];
    if (outcome === undefined) throw new Error("one run too many");
    return outcome;
  };
  return { solve, runs };
}

const cache = {
  locations: [{ type: "registry", attributes: { ref: "registry.example/c" }, mode: "max", export: true }],
} as const;
const importCaches = [[["type", "registry"]]] as const;
const exportCaches = [[["type", "registry"]]] as const;
const caches = { importCaches, exportCaches };

test("a solve goes without a layer cache that breaks it, reading and writing apart, and stays without", async () => {
  const { log, logged } = createTestStep();
  const { solve, runs } = inTurn(unread, unwritten, built, built);
  const safe = withoutBrokenCaches(solve, { caches, cache, log });
  assert.equal(await safe(), built);
  assert.equal(await safe(), built);
  assert.deepEqual(runs, [
    caches,
    { importCaches: [], exportCaches },
    { importCaches: [], exportCaches: [] },
    { importCaches: [], exportCaches: [] },
  ]);
  assert.equal(logged().match(/building once more without it/g)?.length, 2);
});

test("a failure that is the author's, or comes without a layer cache, is told at once", async () => {
  const { log, logged } = createTestStep();
  const once = inTurn(mistake);
  assert.equal(await withoutBrokenCaches(once.solve, { caches, cache, log })(), mistake);
  const none = { importCaches: [], exportCaches: [] };
  const uncached = inTurn(unread);
  assert.equal(await withoutBrokenCaches(uncached.solve, { caches: none, cache, log })(), unread);
  assert.equal(logged(), "");
});

test("a push is tried again while its time lasts, and its last failure is what is told", async () => {
  const { log, signal, logged } = createTestStep();
  const passing = inTurn(busy, built);
  assert.equal(
    await pushingAgain(passing.solve, { policy: retryPolicy({ retry: 60_000 }), log, signal }),
    built,
  );
  assert.match(logged(), /toomanyrequests: too many\nThis may pass: pushing again for up to 1 min/);
  const none = inTurn(busy);
  assert.equal(await pushingAgain(none.solve, { policy: retryPolicy({ retry: 0 }), log, signal }), busy);
});

test("an abort ends the wait for another push", async () => {
  const step = createTestStep();
  const { solve } = inTurn(busy);
  const { log, signal } = step;
  const pushing = pushingAgain(solve, { policy: retryPolicy({ retry: 60_000 }), log, signal });
  setImmediate(() => step.abort());
  await assert.rejects(pushing, { name: "AbortError" });
});

test("a layer cache that got lost in a race is written once more, and the image stays as it was built", async () => {
  const { log } = createTestStep();
  const lost: BuildctlOutcome = {
    ...built,
    summary: { ...summary, unwrittenCache: "unknown: blob unknown to registry" },
  };
  const again = inTurn(built);
  assert.equal(await writingLostCacheAgain(lost, again.solve, log), built);
  const failing = inTurn(mistake);
  assert.equal(await writingLostCacheAgain(lost, failing.solve, log), lost);
  const neverRun = inTurn();
  for (const outcome of [built, mistake]) {
    assert.equal(await writingLostCacheAgain(outcome, neverRun.solve, log), outcome);
  }
});
