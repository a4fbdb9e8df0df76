import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../../host/log.ts";
import { type Retries, type RetryPolicy, startRetries } from "../../registry/retry-policy.ts";
import type { LayerCache } from "../plan/layer-cache.ts";
import { formatSeconds } from "../progress/text.ts";
import { cacheFailureIn, isPassingPush, isPushRace } from "./failure-kinds.ts";
import type { BuildctlOutcome, BuildctlRun } from "./run-buildctl.ts";

/** One run of a solve, from its start to its end. */
export type SolveOnce = () => Promise<BuildctlOutcome>;

/** Where a run looks for steps, and where it adds them. */
export type UsedCaches = Pick<BuildctlRun, "importCaches" | "exportCaches">;

/**
 * A solve that does without a layer cache as soon as that makes it fail: it is run again at once, and each later time,
 * with what is left. A cache that can't be read may still be written, and so mended.
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
      const kind = cacheFailureIn(failure, cache);
      if (kind === undefined || left.importCaches.length + left.exportCaches.length === 0) return outcome;
      log.warn(`${failure}\nThe layer cache may be damaged or out of reach: building once more without it`);
      if (kind === "reading" && left.importCaches.length > 0) left = { ...left, importCaches: [] };
      else if (kind === "writing" && left.exportCaches.length > 0) left = { ...left, exportCaches: [] };
      else left = { importCaches: [], exportCaches: [] };
    }
  };
}

/** Solves again while the registry can't take the push. What was built, the daemon still has. */
export async function pushingAgain(
  solve: SolveOnce,
  { policy, log, signal }: { policy: RetryPolicy; log: Log; signal: AbortSignal },
): Promise<BuildctlOutcome> {
  let retries: Retries | undefined;
  for (;;) {
    const outcome = await solve();
    if ("descriptor" in outcome.result || !isPassingPush(outcome.result.failure)) return outcome;
    // The time begins with the first failure: what was built before it took as long as it took.
    retries ??= startRetries(policy);
    const left = policy.timeout - retries.elapsed();
    const pause = retries.pause();
    if (pause === undefined) return outcome;
    log.warn(
      `${outcome.result.failure}\nThis may pass: pushing again for up to ${formatSeconds(left / 1000)}`,
    );
    await delay(pause, undefined, { signal });
  }
}

/**
 * Solves once more where the image was pushed and only its layer cache got lost, in a race with that push. However the
 * second run ends, the image is there.
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
