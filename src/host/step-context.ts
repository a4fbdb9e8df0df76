import type { Log } from "./log.ts";

/** What one run of a command gets from the outermost file: nothing below `main` touches `process`. */
export interface StepContext {
  readonly env: Environment;
  /** The folder that the command was started in. */
  readonly cwd: string;
  /** The machine's architecture, as Node names it (`x64`, `arm64`). */
  readonly arch: string;
  readonly log: Log;
  /** Aborted when Concourse ends the step (SIGTERM). */
  readonly signal: AbortSignal;
  /** Aborted some seconds after `signal`: who still tidies up then leaves the rest, before SIGKILL finds it at it. */
  readonly late: AbortSignal;
  /** Sends a signal to any process, as kill(2) does; throws a system error (`ESRCH` when it is gone). */
  readonly kill: (pid: number, signal: "SIGTERM" | "SIGKILL") => void;
}

export type Environment = Readonly<Record<string, string | undefined>>;
