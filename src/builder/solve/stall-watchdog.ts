import type { Log } from "../../host/log.ts";
import type { Engine } from "../engine/engine.ts";
import type { FollowedSolve } from "../progress/followed-solve.ts";
import { exportingCache } from "../progress/step.ts";
import { formatSeconds } from "../progress/text.ts";

/** How long a solve may be silent, in milliseconds. */
export interface StallLimits {
  /** After this time without news, a layer cache that is being written is given up. */
  readonly cache: number;
  /**
   * After this time, the daemon is asked whether it still answers, and the log says what the solve is waiting for.
   */
  readonly daemon: number;
}

export interface WatchedSolve {
  readonly engine: Engine;
  readonly progress: Pick<FollowedSolve, "running">;
  readonly silence: StallLimits;
  readonly log: Log;
}

export interface StallWatch extends Disposable {
  /** To be called for each output of the solve. */
  heard(): void;
  /** Aborted when waiting longer is pointless, with a message as its reason. */
  readonly signal: AbortSignal;
}

/**
 * Watches how long a solve is silent. Without this, BuildKit waits forever for a registry that accepts a request
 * and never answers, and buildctl waits forever for a daemon that is frozen or whose network is gone.
 */
export function watchForStalls({ engine, progress, silence, log }: WatchedSolve): StallWatch {
  const stop = new AbortController();
  let heard = performance.now();
  let asked = heard;
  let told = silence.daemon;
  let isAsking = false;
  let refusals = 0;
  const askDaemon = async (): Promise<void> => {
    isAsking = true;
    const problem = await engine.diagnose().catch(() => undefined);
    isAsking = false;
    asked = performance.now();
    // A busy machine may miss one question. Output that came meanwhile is better proof that the daemon works.
    refusals = problem === undefined || asked - heard < silence.daemon ? 0 : refusals + 1;
    if (refusals > 1) stop.abort(problem);
  };
  const look = (): void => {
    const silent = performance.now() - heard;
    const running = progress.running();
    const written = running.find(({ text }) => exportingCache.test(text));
    if (written !== undefined && silent >= silence.cache) {
      stop.abort(`${written.text}: it has made no progress for ${formatSeconds(silent / 1000)}`);
      return;
    }
    if (silent >= told) {
      told *= 2;
      const names = running.map(({ place, text }) => (place === "" ? text : `[${place}] ${text}`));
      const at = names.length === 0 ? "waiting for BuildKit" : `at ${names.join("; ")}`;
      log.line(`no progress for ${formatSeconds(silent / 1000)}: still ${at}`);
    }
    if (performance.now() - Math.max(heard, asked) >= silence.daemon && !isAsking) void askDaemon();
  };
  const timer = setInterval(look, Math.min(silence.cache, silence.daemon) / 4);
  return {
    signal: stop.signal,
    heard: () => {
      heard = performance.now();
      told = silence.daemon;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
