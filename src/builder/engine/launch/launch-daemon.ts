import { readFile } from "node:fs/promises";
import { type ChildExit, signalProcess, startChild } from "../../../host/child.ts";
import { settlesBefore } from "../../../host/settles-before.ts";
import type { StepContext } from "../../../host/step-context.ts";
import { endInSandbox, prepareSandbox } from "./gvisor.ts";
import type { Launcher } from "./launcher.ts";
import { inNamespaces, withCgroups } from "./namespaces.ts";
import { inUserNamespace, writeIdMaps } from "./user-namespace.ts";

/**
 * Milliseconds that a daemon gets to send its last spans and to end. It takes a few hundred on a busy machine, and in
 * a sandbox a program has to be started that asks it.
 */
const farewellTime = 5_000;
/** The same after an abort, when an end in time matters more than spans. */
const abortedFarewellTime = 250;

/** Milliseconds. A process that is blocked in a disk operation ends late. After an abort there is less time. */
const killDeadline = 30_000;

export interface DaemonLaunch {
  readonly step: Pick<StepContext, "kill" | "late" | "log" | "signal">;
  readonly launcher: Launcher;
  /** A private folder of the step. */
  readonly workspace: string;
  /** BuildKit's state folder. */
  readonly root: string;
  /** The daemon's environment variables. */
  readonly env: StepContext["env"];
  readonly command: readonly [string, ...string[]];
  /** Called with what the daemon writes to its standard error. */
  readonly write: (bytes: Buffer) => void;
  /** Whether it may have spans to send when it is ended. */
  readonly sendsSpans: boolean;
}

/** A started daemon. Disposing ends it with all its processes and mounts, and waits until they have ended. */
export interface LaunchedDaemon extends AsyncDisposable {
  /** How it ended; undefined while it runs. */
  readonly exit: () => ChildExit | undefined;
  readonly exited: Promise<unknown>;
}

/** Starts the daemon. If the program doesn't exist, it ends with status 127. */
export async function launchDaemon(launch: DaemonLaunch): Promise<LaunchedDaemon> {
  const { launcher, env, write } = launch;
  const {
    command: [file, ...args],
    input,
  } = await commandOf(launch);
  const ended = new AbortController();
  const child = startChild({ env, signal: ended.signal }, file, args, {
    stdin: "pipe",
    stdout: "pipe",
    buffer: false,
    reject: false,
    env: launcher.kind === "gvisor" ? withoutSecrets(env) : env,
    // A process group of its own, so that one signal ends all of it.
    detached: true,
  });
  let exit: ChildExit | undefined;
  const exited = (async () => {
    exit = await child;
  })();
  child.stderr.on("data", write);
  if (launcher.kind === "user-namespace") await writeIdMaps(child);
  else {
    // A process that ends at once prints the reason itself.
    child.stdin.on("error", () => {}).end(input);
    child.stdout.resume();
  }
  return {
    exit: () => exit,
    exited,
    [Symbol.asyncDispose]: () => stop({ ...launch, pid: child.pid, exited }),
  };
}

async function commandOf(
  launch: DaemonLaunch,
): Promise<{ readonly command: readonly [string, ...string[]]; readonly input: string }> {
  const { launcher, command } = launch;
  if (launcher.kind === "gvisor") return prepareSandbox(launch);
  const [first, ...rest] = inNamespaces;
  const inside = [...rest, ...(launcher.needs.cgroups ? withCgroups(command) : command)];
  return {
    command: launcher.kind === "direct" ? [first, ...inside] : inUserNamespace([first, ...inside]),
    input: "",
  };
}

/**
 * runsc doesn't pass its own environment to the daemon, and only needs to find programs and folders. So it gets no
 * variables that may hold secrets.
 */
function withoutSecrets({ PATH, HOME, TMPDIR }: StepContext["env"]): StepContext["env"] {
  return { PATH, HOME, TMPDIR };
}

interface RunningDaemon extends Pick<DaemonLaunch, "step" | "launcher" | "workspace" | "env" | "sendsSpans"> {
  /** Of unshare(1) or runsc. Undefined if there was no such program. */
  readonly pid: number | undefined;
  readonly exited: Promise<unknown>;
}

/**
 * Ends the daemon and waits until nothing of it is left. buildkitd is the first process of its PID namespace. When
 * it ends, the kernel ends all other processes in there (pid_namespaces(7)), and then unshare(1) or runsc ends. The
 * kernel sends SIGKILL to runsc's processes when their parent dies.
 */
async function stop(daemon: RunningDaemon): Promise<void> {
  const { step, launcher, pid, exited } = daemon;
  if (pid === undefined) return;
  // SIGKILL is safe, as the state isn't used again. If there is no first process yet, the whole group gets the
  // signal: unshare(1) may be making its child at this moment, and nothing would wait for that child.
  const first = launcher.kind === "gvisor" ? undefined : await firstChild(pid);
  if (daemon.sendsSpans) {
    using farewell = farewellOf(step);
    const { signal } = farewell;
    if ((await askToEnd(daemon, first, signal)) && (await settlesBefore(exited, signal))) return;
    if (!step.signal.aborted)
      step.log.warn("tracing: buildkitd did not end when it was asked to, so its last spans may be lost");
  }
  signalProcess(step, first ?? -pid, "SIGKILL");
  const limit = AbortSignal.any([step.late, AbortSignal.timeout(killDeadline)]);
  if (await settlesBefore(exited, limit)) return;
  step.log.warn(`buildkitd (process ${pid}) has not ended after SIGKILL: it ends with this container`);
}

/** A signal that ends the time for a farewell. An abort shortens it. */
function farewellOf({ signal, late }: Pick<StepContext, "signal" | "late">): Disposable & {
  readonly signal: AbortSignal;
} {
  const over = new AbortController();
  const timers = [setTimeout(() => over.abort(), farewellTime)];
  const hurry = () => timers.push(setTimeout(() => over.abort(), abortedFarewellTime));
  if (signal.aborted) hurry();
  else signal.addEventListener("abort", hurry, { once: true });
  return {
    signal: AbortSignal.any([late, over.signal]),
    [Symbol.dispose]: () => {
      signal.removeEventListener("abort", hurry);
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

/**
 * Sends SIGTERM to buildkitd, on which it sends its spans and ends.
 * @param first its process, which isn't visible in a sandbox
 * @returns whether the signal was sent
 */
async function askToEnd(
  daemon: RunningDaemon,
  first: number | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  if (daemon.launcher.kind === "gvisor") {
    const [file, ...args] = endInSandbox(daemon);
    const options = { reject: false, stdout: "ignore", stderr: "ignore", killSignal: "SIGKILL" } as const;
    const asked = await startChild({ env: withoutSecrets(daemon.env), signal }, file, args, options);
    return asked.exitCode === 0;
  }
  if (first === undefined) return false;
  signalProcess(daemon.step, first, "SIGTERM");
  return true;
}

async function firstChild(pid: number): Promise<number | undefined> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  const [child] = children.trim().split(" ").filter(Boolean);
  return child === undefined ? undefined : Number(child);
}
