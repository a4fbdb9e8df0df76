import type { Log } from "./log.ts";

/** Logs now and then how far a long task is. */
export interface ProgressReport extends Disposable {
  /** Whether anything has been logged so far. */
  readonly spoke: () => boolean;
}

/** Milliseconds. Tasks of less than a second are not logged; the longer a task takes, the rarer its lines become. */
const firstAfter = 1000;
const leastWait = 2000;

/** Logs the result of `describe` after a second, and then more and more rarely, until it is disposed of. */
export function reportProgress(log: Pick<Log, "line">, describe: () => string): ProgressReport {
  const begun = performance.now();
  let next = firstAfter;
  const timer = setInterval(() => {
    const elapsed = performance.now() - begun;
    if (elapsed < next) return;
    next = Math.max(elapsed * 1.5, elapsed + leastWait);
    log.line(describe());
  }, 250);
  return {
    spoke: () => next > firstAfter,
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
