import { isAbsolute } from "node:path";
import { execa, type Options } from "execa";
import { abortBudget } from "./abort-budget.ts";
import { errorCode } from "./errors.ts";
import { limitOfStart } from "./process-limits.ts";
import type { StepContext } from "./step-context.ts";

/**
 * Starts a program that doesn't outlive this process. On abort it gets SIGTERM, then SIGKILL ({@link abortBudget}).
 * If this process is killed, the kernel kills the child (PR_SET_PDEATHSIG, see prctl(2), set by setpriv(1)).
 *
 * The program's environment is `options.env` if given, else `step.env`. Only the absolute folders of its PATH are
 * kept: a relative one might lead into what is being unpacked. If the program isn't found, the status is 127.
 */
export function startChild<const O extends Options>(
  step: Pick<StepContext, "env" | "signal">,
  file: string,
  args: readonly string[],
  options: O,
) {
  // execa refuses `input` together with an ignored stdin.
  const hasInput = "input" in options || "inputFile" in options;
  const env = options.env ?? step.env;
  const defaults: Options = {
    ...(hasInput ? {} : { stdin: "ignore" }),
    forceKillAfterDelay: abortBudget.child,
    cancelSignal: step.signal,
    // execa would listen to 16 signals to do what the kernel does.
    cleanup: false,
  };
  return execa("setpriv", ["--pdeathsig", "KILL", "--", file, ...args], {
    ...defaults,
    ...options,
    env: { ...env, PATH: absoluteFolders(env).join(":") || undefined },
    extendEnv: false,
  } as Omit<{ stdin: "ignore" }, keyof O> & O);
}

/** How a child ended: with a status, or by a signal. */
export interface ChildExit {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  /** Why it could not be started (errno(3)). */
  readonly code?: string | undefined;
}

/** Describes how a child ended, in words that follow its name in an error. */
export function describeExit({ exitCode, signal, code }: ChildExit): string {
  if (signal === undefined && exitCode === undefined) {
    const limit = limitOfStart(code);
    return `can't be started${code === undefined ? "" : ` (${code})`}${limit === undefined ? "" : `: ${limit}`}`;
  }
  if (signal === undefined) return `ended with status ${exitCode}`;
  if (signal === "SIGKILL")
    return "was killed (SIGKILL), usually because the step or its worker is out of memory";
  return `was ended by ${signal}`;
}

/** The folders of PATH that are searched for programs: only absolute ones. */
export function absoluteFolders(env: StepContext["env"]): string[] {
  return (env["PATH"] ?? "").split(":").filter(isAbsolute);
}

/** Sends a signal to a process that isn't a direct child of this one. The process may have ended already. */
export function signalProcess(
  { kill }: Pick<StepContext, "kill">,
  ...target: Parameters<StepContext["kill"]>
): void {
  try {
    kill(...target);
  } catch (thrown) {
    if (errorCode(thrown) !== "ESRCH") throw thrown;
  }
}
