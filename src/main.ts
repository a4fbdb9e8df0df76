import { startupSnapshot } from "node:v8";
import type { Command } from "./commands/invocation.ts";
import { exitTime, tidyingTime } from "./host/abort-budget.ts";
import { namesOfPut } from "./host/author-names.ts";
import { surfaceProblem } from "./host/disk-errors.ts";
import { AbortError, errorCode, messageOf, UserError } from "./host/errors.ts";
import { createLog, type Log, styled } from "./host/log.ts";
import type { StepContext } from "./host/step-context.ts";
import { untraced } from "./host/trace.ts";

// Each command loads only what it needs, because `check` runs often and has little to do.
const commands = new Map<string, () => Promise<Command>>([
  ["check", async () => (await import("./commands/check.ts")).check],
  ["in", async () => (await import("./commands/in.ts")).get],
  ["out", async () => (await import("./commands/out.ts")).put],
  ["build", async () => (await import("./commands/build.ts")).build],
  ["validate", async () => (await import("./commands/validate.ts")).validate],
]);

/** Bytes of the largest request that is accepted. A pipeline's params have some kilobytes. */
const inputLimit = 16 * 1024 * 1024;

/** Major version. */
const oldestNode = 24;

/** Characters. Longer lines of an error message are cut. */
const longestLine = 2000;

const status = { done: 0, refused: 1, bug: 2, aborted: 143 } as const;

/** One step: what it logs to, and what aborts it. */
interface Running {
  readonly log: Log;
  readonly aborter: AbortController;
  readonly late: AbortController;
}

/** Prepares the process for a step, whatever way it was started. */
function prepare(): Running {
  // Steps that run as any user must be able to read what is delivered, whatever umask Concourse's runtime sets.
  // Private files get an explicit mode.
  process.umask(0o022);
  const log = createLog({
    write: (text) => process.stderr.write(text),
    // Concourse shows colours although the step has no terminal. NO_COLOR: no-color.org.
    colours: (process.env["NO_COLOR"] ?? "") === "",
  });
  const running: Running = { log, aborter: new AbortController(), late: new AbortController() };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, () => abortStep(running, new AbortError(`aborted by ${signal}`)));
  }
  // The build goes on if nobody reads its log any more.
  process.stderr.on("error", () => {});
  // `print` gets the error too, and handles it.
  process.stdout.on("error", () => {});
  // Ends the step in order, as after an abort, so that no temporary files and no half-stored build are left.
  process.on("uncaughtException", (thrown) => abortStep(running, thrown));
  return running;
}

/** Makes the step end in order, and exits if that takes longer than the abort budget allows. */
function abortStep(running: Running, reason: unknown): void {
  running.aborter.abort(reason);
  setTimeout(() => running.late.abort(), tidyingTime).unref();
  setTimeout(() => process.exit(report(running, causeOf(running, reason))), exitTime);
}

async function run(running: Running): Promise<number> {
  const { log, aborter, late } = running;
  const [name = "", ...args] = process.argv.slice(2);
  const load = commands.get(name);
  try {
    if (load === undefined)
      throw new UserError(
        `expected one of ${[...commands.keys()].join(", ")}; found ${JSON.stringify(name)}`,
      );
    checkNode(process.versions.node);
    const command = await load();
    const step: StepContext = {
      env: process.env,
      cwd: folderOfStart(),
      arch: process.arch,
      log,
      names: namesOfPut,
      signal: aborter.signal,
      late: late.signal,
      kill: (pid, signal) => process.kill(pid, signal),
      trace: untraced,
      spansUrl: undefined,
    };
    const response = await command({ step, args, readInput: () => readInput(aborter.signal) });
    if (response !== undefined) await print(`${JSON.stringify(response)}\n`);
    return status.done;
  } catch (thrown) {
    return report(running, await surfaceProblem(causeOf(running, thrown)));
  }
}

/** The image has its Node first on PATH, but a task's params may set another PATH. */
function checkNode(version: string): void {
  if (Number.parseInt(version, 10) >= oldestNode) return;
  throw new UserError(
    `the first node on PATH is Node.js ${version}; expected ${oldestNode} or newer. In the resource's image it is in /usr/local/bin: keep that folder first on PATH`,
  );
}

function folderOfStart(): string {
  try {
    return process.cwd();
  } catch (cause) {
    throw new UserError(
      "the folder in which this step was started is gone; expected one that stays until the step ends",
      { cause },
    );
  }
}

/** After an abort, the caught error is only a consequence of it. */
function causeOf({ aborter }: Running, caught: unknown): unknown {
  return aborter.signal.aborted ? aborter.signal.reason : caught;
}

function report({ log }: Running, thrown: unknown): number {
  if (thrown instanceof AbortError) {
    log.line(styled(log, "bad", thrown.message));
    return status.aborted;
  }
  if (thrown instanceof UserError) {
    log.line(`${styled(log, "bad", "error:")} ${readable(thrown.message)}`);
    return status.refused;
  }
  log.line(styled(log, "bad", "This is a bug in oci-build-resource; please report it with what follows:"));
  log.line(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  return status.bug;
}

/** Cuts long lines: a message quotes values from the request, which may be of any length. */
function readable(message: string): string {
  const lines = message.split("\n").map((line) => {
    return line.length > longestLine ? `${line.slice(0, longestLine)}… (${line.length} characters)` : line;
  });
  return lines.join("\n");
}

function stopReading(): void {
  process.stdin.destroy();
}

async function readInput(signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  signal.addEventListener("abort", stopReading, { once: true });
  try {
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > inputLimit) {
        throw new UserError(
          `the request on stdin is larger than ${inputLimit} bytes; expected {"source": …, "params": …}`,
        );
      }
      chunks.push(chunk);
    }
  } catch (thrown) {
    signal.throwIfAborted();
    if (errorCode(thrown) === undefined) throw thrown;
    throw new UserError(`stdin can't be read (${messageOf(thrown)}); expected the request on it`, {
      cause: thrown,
    });
  }
  signal.throwIfAborted();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new UserError("the request on stdin is not UTF-8, as JSON has to be (RFC 8259 8.1)");
  }
}

function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (cause) => {
      if (!cause) return resolve();
      reject(new UserError(`the response can't be written to stdout: ${cause.message}`, { cause }));
    });
  });
}

async function main(): Promise<void> {
  const code = await run(prepare());
  await logIsTaken();
  // An open handle must not keep the step alive after the response is written.
  process.exit(code);
}

/** Waits until the reader of the log has taken all of it, or is gone: an exit discards the rest. */
function logIsTaken(): Promise<void> {
  return new Promise((resolve) => process.stderr.write("", () => resolve()));
}

if (startupSnapshot.isBuildingSnapshot()) {
  startupSnapshot.setDeserializeMainFunction(() => void main());
  // The folder's own path would be in the snapshot.
  void import("./commands/warm-up.ts").then(({ warmUp }) => warmUp("/proc/self/cwd"));
} else {
  void main();
}
