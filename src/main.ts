import type { Command } from "./commands/invocation.ts";
import { exitTime, tidyingTime } from "./host/abort-budget.ts";
import { surfaceProblem } from "./host/disk-errors.ts";
import { AbortError, UserError } from "./host/errors.ts";
import { createLog, styled } from "./host/log.ts";
import type { StepContext } from "./host/step-context.ts";

// Each command loads what it needs and no more: `check` runs often, and has little to do.
const commands = new Map<string, () => Promise<Command>>([
  ["check", async () => (await import("./commands/check.ts")).check],
  ["in", async () => (await import("./commands/in.ts")).get],
  ["out", async () => (await import("./commands/out.ts")).put],
  ["build", async () => (await import("./commands/build.ts")).build],
  ["validate", async () => (await import("./commands/validate.ts")).validate],
]);

/** The largest request that is read, in bytes. A pipeline's params are some kilobytes. */
const inputLimit = 16 * 1024 * 1024;

/** Characters of a message's line. */
const longestLine = 2000;

const status = { done: 0, refused: 1, bug: 2, aborted: 143 } as const;

// What is delivered is for steps that run as any user, whatever Concourse's runtime says; what isn't, has a mode of its own.
process.umask(0o022);

const aborter = new AbortController();
const late = new AbortController();
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  process.on(signal, () => abortStep(new AbortError(`aborted by ${signal}`)));
}

// A build whose log nobody reads any more is still a build.
process.stderr.on("error", () => {});
// `print` hears of it.
process.stdout.on("error", () => {});

// Ends the step in order, as an abort does, so that what was thrown leaves no temporary files and no half-stored build.
process.on("uncaughtException", abortStep);

/** Has the step end in order, and ends it where that takes longer than the abort budget allows. */
function abortStep(reason: unknown): void {
  aborter.abort(reason);
  setTimeout(() => late.abort(), tidyingTime).unref();
  setTimeout(() => process.exit(report(reason)), exitTime);
}

const log = createLog({
  write: (text) => process.stderr.write(text),
  // Concourse shows colours though the step has no terminal; NO_COLOR: no-color.org.
  colours: (process.env["NO_COLOR"] ?? "") === "",
});

async function run(): Promise<number> {
  const [name = "", ...args] = process.argv.slice(2);
  const load = commands.get(name);
  try {
    if (load === undefined)
      throw new UserError(
        `expected one of ${[...commands.keys()].join(", ")}; found ${JSON.stringify(name)}`,
      );
    const command = await load();
    const step: StepContext = {
      env: process.env,
      cwd: process.cwd(),
      arch: process.arch,
      log,
      signal: aborter.signal,
      late: late.signal,
      kill: (pid, signal) => process.kill(pid, signal),
    };
    const response = await command({ step, args, readInput });
    if (response !== undefined) await print(`${JSON.stringify(response)}\n`);
    return status.done;
  } catch (thrown) {
    return report(await surfaceProblem(thrown));
  }
}

function report(caught: unknown): number {
  // After an abort, what is caught is only what came of it.
  const thrown: unknown = aborter.signal.aborted ? aborter.signal.reason : caught;
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

/** A message names what was given, which may be of any length; its lines are for people. */
function readable(message: string): string {
  const lines = message.split("\n").map((line) => {
    return line.length > longestLine ? `${line.slice(0, longestLine)}… (${line.length} characters)` : line;
  });
  return lines.join("\n");
}

function stopReading(): void {
  process.stdin.destroy();
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  aborter.signal.addEventListener("abort", stopReading, { once: true });
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > inputLimit) {
      throw new UserError(
        `the request on stdin is larger than ${inputLimit} bytes; expected {"source": …, "params": …}`,
      );
    }
    chunks.push(chunk);
  }
  aborter.signal.throwIfAborted();
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

// A stray handle must not keep the step alive once the answer is out.
process.exit(await run());
