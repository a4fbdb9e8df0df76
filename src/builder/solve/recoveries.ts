import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../../host/log.ts";
import { type Retries, type RetryPolicy, startRetries } from "../../registry/retry-policy.ts";
import type { LayerCache } from "../plan/layer-cache.ts";
import { formatSeconds } from "../progress/text.ts";
import { cacheFailureIn, isPassingPush, isPushRace } from "./failure-kinds.ts";
import type { BuildctlOutcome, BuildctlRun } from "./run-buildctl.ts";

/** One run of a solve, from its start to its end. */
export type SolveOnce = () => Promise<BuildctlOutcome>;

/** The caches in which a run looks up steps, and those to which it adds them. */
export type UsedCaches = Pick<BuildctlRun, "importCaches" | "exportCaches">;

/**
 * Returns a solve that stops using a layer cache when the cache makes it fail: it is repeated at once without it,
 * and later runs don't use it either. A cache that can't be read is still written, which may repair it.
 */
export function withoutBrokenCaches(
  solve: (caches: UsedCaches) => Promise<BuildctlOutcome>,
  { caches, cache, log }: { caches: UsedCaches; cache: Pick<LayerCache, "locations">; log: Log },
): SolveOnce {
  let left = caches;
  return async () => {
    for (;;) {
      const outcome = await solve(left);
      if ("descriptor" in outcome.result) return outcome;
      const { failure } = outcome.result;
      const kind = cacheFailureIn(failure.reason, cache);
      if (kind === undefined || left.importCaches.length + left.exportCaches.length === 0) return outcome;
      log.warn(
        `${failure.message}\nThe layer cache may be damaged or out of reach: building once more without it`,
      );
      if (kind === "reading" && left.importCaches.length > 0) left = { ...left, importCaches: [] };
      else if (kind === "writing" && left.exportCaches.length > 0) left = { ...left, exportCaches: [] };
      else left = { importCaches: [], exportCaches: [] };
    }
  };
}

/** Repeats a solve while its push fails for a reason that may pass. The daemon still has what was built. */
export async function pushingAgain(
  solve: SolveOnce,
  { policy, log, signal }: { policy: RetryPolicy; log: Log; signal: AbortSignal },
): Promise<BuildctlOutcome> {
  let retries: Retries | undefined;
  for (;;) {
    const outcome = await solve();
    if ("descriptor" in outcome.result || !isPassingPush(outcome.result.failure.reason)) return outcome;
    // The timeout starts at the first failure, so that it doesn't include the build.
    retries ??= startRetries(policy);
    const left = policy.timeout - retries.elapsed();
    const pause = retries.pause();
    if (pause === undefined) return outcome;
    log.warn(
      `${outcome.result.failure.message}\nThis may pass: pushing again for up to ${formatSeconds(left / 1000)}`,
    );
    await delay(pause, undefined, { signal });
  }
}

/**
 * Repeats a solve once if the image was pushed but its layer cache was lost in a race with that push. Even if the
 * second run fails, the image is there.
 */
export async function writingLostCacheAgain(
  outcome: BuildctlOutcome,
  solve: SolveOnce,
  log: Log,
): Promise<BuildctlOutcome> {
  if (!("descriptor" in outcome.result) || !isPushRace(outcome.summary.unwrittenCache ?? "")) return outcome;
  log.line("writing the layer cache once more");
  const again = await solve();
  return "descriptor" in again.result ? again : outcome;
}
