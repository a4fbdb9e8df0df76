import { setTimeout as delay } from "node:timers/promises";
import { startChild } from "../../../src/host/child.ts";
import { toolEnvironment } from "../runs/test-step.ts";

export interface Server extends AsyncDisposable {
  /** Process id of the program started (which may be a wrapper of the real one). */
  readonly pid: number;
  /** The match of `ready` in the line that announced the server. */
  readonly announcement: RegExpExecArray;
  /** Everything the server wrote, stdout and stderr in the order they came. */
  readonly log: () => string;
  /** Settles when the program has ended, however it came to that. */
  readonly ended: Promise<void>;
}

export interface ServerOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Found in the one line of the program's output that says it listens; its groups tell where. */
  readonly ready: RegExp;
  /** Ends the program; by default SIGTERM, and SIGKILL after two seconds. */
  readonly stop?: (pid: number, ended: Promise<void>) => Promise<void>;
}

const startDeadline = 60_000;
const keptLog = 8 * 1024 * 1024;

/**
 * Starts a server and waits for the line in which it says that it listens; its death before that, or no such
 * line within a minute, is an error with the end of its output.
 */
export async function startServer({
  file,
  args,
  env = {},
  ready,
  stop = endPolitely,
}: ServerOptions): Promise<Server> {
  const step = { env: toolEnvironment(env), signal: new AbortController().signal };
  const child = startChild(step, file, args, { reject: false, buffer: false, all: true });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${file} could not be started`);
  const ended = (async () => {
    await child;
  })();
  let text = "";
  let unread = 0;
  const announced = new Promise<RegExpExecArray>((resolve) => {
    child.all.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      const whole = text.lastIndexOf("\n") + 1;
      const match = ready.exec(text.slice(unread, whole));
      if (match !== null) resolve(match);
      unread = whole;
      if (text.length > keptLog) {
        text = text.slice(-keptLog / 2);
        unread = text.lastIndexOf("\n") + 1;
      }
    });
  });
  const timer = new AbortController();
  const outcome = await Promise.race([
    announced,
    ended.then(() => "ended" as const),
    delay(startDeadline, "silent" as const, { signal: timer.signal }).catch(() => "silent" as const),
  ]);
  timer.abort();
  if (typeof outcome === "string") {
    await stop(pid, ended);
    const what =
      outcome === "ended" ? "ended before it listened" : `did not listen within ${startDeadline} ms`;
    throw new Error(`${file} ${what}; it wrote:\n${text.slice(-4000)}`);
  }
  return {
    pid,
    announcement: outcome,
    log: () => text,
    ended,
    [Symbol.asyncDispose]: () => stop(pid, ended),
  };
}

/** SIGTERM to one process, SIGKILL if it is still there two seconds later. */
export async function endPolitely(pid: number, ended: Promise<void>): Promise<void> {
  const timer = new AbortController();
  sendSignal(pid, "SIGTERM");
  const killLater = delay(2000, undefined, { signal: timer.signal }).then(
    () => sendSignal(pid, "SIGKILL"),
    () => undefined,
  );
  await ended;
  timer.abort();
  await killLater;
}

/** Sends a signal; a process that has already ended is no error. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
