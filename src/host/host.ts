import type { Log } from "./log.ts";

/** What one run of a command gets from the outermost file: nothing below `main` touches `process`. */
export interface Host {
  readonly env: Environment;
  readonly log: Log;
  /** Aborted when Concourse ends the step (SIGTERM). */
  readonly signal: AbortSignal;
}

export type Environment = Readonly<Record<string, string | undefined>>;
