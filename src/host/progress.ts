import type { Log } from "./log.ts";

/** Tells a person, now and then, how far something is that takes long. */
export interface ProgressReport extends Disposable {
  /** Whether it said anything so far. */
  readonly spoke: () => boolean;
}

/** Milliseconds. What is done within a second isn't worth a line; the longer it takes, the fewer lines are needed. */
const firstAfter = 1000;
const leastWait = 2000;

/** Logs what `describe` answers once a second has passed, and then ever more rarely, until it is disposed of. */
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
