import type { Log } from "../../host/log.ts";
import type { Engine } from "../engine/engine.ts";
import { exportingCache } from "../progress/board.ts";
import type { FollowedSolve } from "../progress/followed-solve.ts";
import { formatSeconds } from "../progress/text.ts";

/** How long a solve may be silent, in milliseconds. */
export interface StallLimits {
  /** A layer cache that can't be written within so long is done without. */
  readonly cache: number;
  /** The daemon is asked whether it is still there, and the log says what the solve is at. */
  readonly daemon: number;
}

export interface WatchedSolve {
  readonly engine: Engine;
  readonly progress: Pick<FollowedSolve, "running">;
  readonly silence: StallLimits;
  readonly log: Log;
}

export interface StallWatch extends Disposable {
  /** Something was heard. */
  heard(): void;
  /** Aborted, with a message as its reason, when there is nothing to wait for any more. */
  readonly signal: AbortSignal;
}

/**
 * Watches over a solve's silences. BuildKit waits without end for a registry that takes a request and never answers,
 * and buildctl for a daemon that has frozen, or whose network is gone.
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
    // A busy machine may miss one question; and what was heard meanwhile is the better proof.
    refusals = problem === undefined || asked - heard < silence.daemon ? 0 : refusals + 1;
    if (refusals > 1) stop.abort(problem);
  };
  const look = (): void => {
    const silent = performance.now() - heard;
    const running = progress.running();
    const written = running.find(({ text }) => exportingCache.test(text));
    if (written !== undefined && silent >= silence.cache) {
      stop.abort(`${written.text}: nothing has come of it for ${formatSeconds(silent / 1000)}`);
      return;
    }
    if (silent >= told) {
      told *= 2;
      const names = running.map(({ place, text }) => (place === "" ? text : `[${place}] ${text}`));
      const at = names.length === 0 ? "waiting for BuildKit" : `at ${names.join("; ")}`;
      log.line(`nothing new for ${formatSeconds(silent / 1000)}: still ${at}`);
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
