import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { describeExit, startChild } from "../../host/child.ts";
import { fullDisks } from "../../host/disk-errors.ts";
import { UserError } from "../../host/errors.ts";
import type { Environment, StepContext } from "../../host/step-context.ts";
import { Descriptor } from "../../image/descriptor.ts";
import type { Engine } from "../engine/engine.ts";
import { whatToInstall } from "../engine/program-versions.ts";
import { buildctlArguments, type SolveRun } from "../plan/buildctl-arguments.ts";
import type { FollowedSolve, SolveSummary } from "../progress/followed-solve.ts";
import type { StepHold } from "./solve-request.ts";
import { type StallLimits, watchForStalls } from "./stall-watchdog.ts";

/** One solve on one daemon. */
export interface BuildctlRun extends SolveRun {
  readonly step: StepContext;
  readonly engine: Engine;
  /** Credentials are in files and variables of it. */
  readonly env: Environment;
  readonly silence: StallLimits;
  readonly hold: StepHold | undefined;
}

/** What one run of buildctl came to. */
export interface BuildctlOutcome {
  readonly summary: SolveSummary;
  /** It was ended because a step had begun too early. */
  readonly isHeld?: boolean;
  /** What was built, where it is (undefined if it was to go nowhere); or why nothing was, in the failing step's and BuildKit's words. */
  readonly result: { readonly descriptor: Descriptor | undefined } | { readonly failure: string };
}

/** Runs `buildctl build`. */
export async function runBuildctl(run: BuildctlRun, progress: FollowedSolve): Promise<BuildctlOutcome> {
  const { step, engine, env, silence } = run;
  using watch = watchForStalls({ engine, progress, silence, log: step.log });
  const held = new AbortController();
  const signal = AbortSignal.any([step.signal, watch.signal, held.signal]);
  const args = [...engine.connection, ...buildctlArguments(run)];
  const child = startChild({ env, signal }, "buildctl", args, {
    stdout: "ignore",
    buffer: false,
    reject: false,
  });
  child.stderr.on("data", (bytes: Buffer) => {
    watch.heard();
    progress.write(bytes);
    if (run.hold === undefined) return;
    const running = progress.running();
    run.hold.isRunning(running);
    if (run.hold.isHeld(running)) held.abort();
  });
  const ended = await child;
  const { exitCode } = ended;
  const summary = progress.end();
  step.signal.throwIfAborted();
  if (exitCode === 0) return { summary, result: { descriptor: await resultOf(run) } };
  if (held.signal.aborted) return { summary, isHeld: true, result: { failure: "held back" } };
  if (watch.signal.aborted) return { summary, result: { failure: String(watch.signal.reason) } };
  if (exitCode === 127) throw new UserError(`buildctl is not on PATH. ${whatToInstall}`);
  if (ended.code === "E2BIG") throw new UserError(argumentsTooLarge(args));
  const failure = summary.failure ?? `buildctl ${describeExit(ended)}`;
  const words = [failure, await diskTrouble(failure, run)].filter(Boolean).join("\n");
  return { summary, result: { failure: words } };
}

/** Bytes of one argument (execve(2), MAX_ARG_STRLEN, less the NUL at its end). */
const argumentLimit = 128 * 1024 - 1;

function argumentsTooLarge(args: readonly string[]): string {
  const one = args.find((arg) => Buffer.byteLength(arg) > argumentLimit);
  const advice = "give what is so large as a file of the context, or of a named one";
  if (one === undefined)
    return `build args, labels and annotations are together larger than the system lets arguments be: ${advice}`;
  const [, name = "an argument"] = /^([^=]*)=/.exec(one) ?? [];
  return `${name} has ${Buffer.byteLength(one)} bytes; an argument may have ${argumentLimit} at most: ${advice}`;
}

/** Programs say that a disk is full, not which: those that this step writes to are looked at. */
async function diskTrouble(failure: string, run: BuildctlRun): Promise<string | undefined> {
  const hides =
    run.engine.limited?.limits.tellsFullDisks === false && /(I\/O|input\/output) error/i.test(failure);
  if (!hides && !/no space left on device/i.test(failure)) return undefined;
  const store = run.exporter?.kind === "layout" ? [run.exporter.folder] : [];
  const folders = [...store, ...run.engine.folders, dirname(run.metadataFile)];
  const [, named = ""] = /(\/[^\s:"]+): no space left on device/i.exec(failure) ?? [];
  // What made it full may be gone by now.
  const full = await fullDisks(folders, (folder) => named !== "" && named.startsWith(folder));
  if (full !== undefined || !hides) return full;
  return `${run.engine.limited?.where}, an I/O error may mean that the disk of ${run.engine.folders.join(", ")} was full`;
}

/** buildctl's `--metadata-file`: the descriptor is there for one manifest and for an index alike. */
const Metadata = z.looseObject({ "containerimage.descriptor": Descriptor });

async function resultOf({ exporter, metadataFile: file }: SolveRun): Promise<Descriptor | undefined> {
  if (exporter === undefined) return undefined;
  return Metadata.parse(JSON.parse(await readFile(file, "utf8")))["containerimage.descriptor"];
}
