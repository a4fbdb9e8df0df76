import type { AuthorNames } from "./author-names.ts";
import type { Log } from "./log.ts";
import type { Trace } from "./trace.ts";

/** The surroundings of one run of a command. The outermost file makes it; nothing below `main` touches `process`. */
export interface StepContext {
  readonly env: Environment;
  /** The folder in which the command was started. */
  readonly cwd: string;
  /** The machine's architecture by Node's name (`x64`, `arm64`). */
  readonly arch: string;
  readonly log: Log;
  /** What messages call the params and fields that the author has given. */
  readonly names: AuthorNames;
  /** Aborted when Concourse ends the step (SIGTERM). */
  readonly signal: AbortSignal;
  /** Aborted some seconds after `signal`. Clean-up that is still running then must stop, before SIGKILL ends it. */
  readonly late: AbortSignal;
  /** Sends a signal to any process (kill(2)). Throws a system error, `ESRCH` if the process is gone. */
  readonly kill: (pid: number, signal: "SIGTERM" | "SIGKILL") => void;
  /** Runs work in a span of the step's trace, if it has one. */
  readonly trace: Trace;
  /**
   * Where BuildKit's programs send their spans: a URL of this step's that takes OTLP over HTTP, without headers.
   * Undefined if nothing is traced.
   */
  readonly spansUrl: string | undefined;
}

export type Environment = Readonly<Record<string, string | undefined>>;
