import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import * as z from "zod";
import { describeExit, startChild } from "../../host/child.ts";
import { fullDisks } from "../../host/disk-errors.ts";
import { UserError } from "../../host/errors.ts";
import type { Environment, StepContext } from "../../host/step-context.ts";
import { followedGzip } from "../../image/compression/undecompressable.ts";
import { damagedBase, undecompressable } from "../../image/damaged-layer.ts";
import { Descriptor } from "../../image/descriptor.ts";
import { type ProvenLayers, parseProvenLayers } from "../../image/proven-layers.ts";
import type { Engine } from "../engine/engine.ts";
import { limitBehind } from "../engine/limits.ts";
import { whatToInstall } from "../engine/program-versions.ts";
import { buildctlArguments, type SolveRun } from "../plan/buildctl-arguments.ts";
import type { FollowedSolve, SolveFailure, SolveSummary } from "../progress/followed-solve.ts";
import type { SolveWatch } from "./solve-request.ts";
import { type StallLimits, watchForStalls } from "./stall-watchdog.ts";
import { StatedVersions } from "./stated-versions.ts";

/** One solve on one daemon. */
export interface BuildctlRun extends SolveRun {
  readonly step: StepContext;
  readonly engine: Engine;
  /**
   * Called once buildctl has been started, with the way to learn what its daemon says of its version
   * ({@link StatedVersions.ofDaemon}). Resolves when the daemon is known to be usable.
   */
  readonly ready: (said: () => Promise<string | undefined>) => Promise<void>;
  /** buildctl's variables. They contain credentials, or name files with credentials. */
  readonly env: Environment;
  readonly silence: StallLimits;
  readonly watch: SolveWatch | undefined;
}

/** The outcome of one run of buildctl. */
export interface BuildctlOutcome {
  readonly summary: SolveSummary;
  /** buildctl's version, in its own words. Undefined if it didn't state it. */
  readonly buildctl: string | undefined;
  /** What buildctl wrote to stdout: the frontend's answer, if it was asked about the Dockerfile. */
  readonly answer: string;
  /** What was exported, or why it failed. */
  readonly result: Exported | { readonly failure: SolveFailure };
}

/** What a solve has exported. */
export interface Exported {
  /** Undefined if nothing was to be exported. */
  readonly descriptor: Descriptor | undefined;
  /** The layers that the daemon says it has compared with their diff IDs. */
  readonly proven: ProvenLayers;
}

/**
 * Runs `buildctl build`, and follows its progress until it ends. If `ready` rejects, buildctl is ended and the
 * same error thrown.
 */
export async function runBuildctl(run: BuildctlRun, progress: FollowedSolve): Promise<BuildctlOutcome> {
  const { step, engine, env, silence } = run;
  using stalls = watchForStalls({ engine, progress, silence, log: step.log });
  const refused = new AbortController();
  const signal = AbortSignal.any([step.signal, stalls.signal, refused.signal]);
  const args = [...engine.connection, ...buildctlArguments(run)];
  const child = startChild({ env, signal }, "buildctl", args, {
    buffer: { stdout: true, stderr: false },
    maxBuffer: answerLimit,
    stripFinalNewline: false,
    reject: false,
  });
  // Nothing of the build is shown before it is known that the daemon may build. It is read all the same: Node discards
  // what nobody has read when a program has ended.
  const early: Buffer[] = [];
  let take = (bytes: Buffer): unknown => early.push(bytes);
  const versions = new StatedVersions();
  child.stderr.on("data", (bytes: Buffer) => {
    stalls.heard();
    versions.write(bytes);
    take(bytes);
  });
  const ending = child.finally(() => versions.end());
  await run
    .ready(() => versions.ofDaemon(signal))
    .catch(async (thrown: unknown) => {
      refused.abort();
      await ending;
      throw thrown;
    });
  take = (bytes) => {
    progress.write(bytes);
    run.watch?.(progress);
  };
  early.forEach(take);
  const ended = await ending;
  const { exitCode, stdout: answer } = ended;
  const seen = { summary: progress.end(), answer, buildctl: versions.ofBuildctl() };
  step.signal.throwIfAborted();
  if (exitCode === 0) return { ...seen, result: await resultOf(run) };
  if (stalls.signal.aborted) return { ...seen, result: failed(String(stalls.signal.reason)) };
  if (exitCode === 127) throw new UserError(`buildctl is not on PATH. ${whatToInstall}`);
  if (ended.code === "E2BIG") throw new UserError(argumentsTooLarge(args));
  const { failure = failed(`buildctl ${describeExit(ended)}`).failure } = seen.summary;
  const limit =
    engine.limited === undefined ? undefined : limitBehind(engine.limited, failure.message, step.names);
  const message = [failure.message, limit, await diskTrouble(failure.message, run)]
    .filter(Boolean)
    .join("\n");
  return { ...seen, result: { failure: { ...failure, message } } };
}

function failed(reason: string): { readonly failure: SolveFailure } {
  return { failure: { message: reason, reason } };
}

/** Characters of an answer on stdout. That about a Dockerfile has some hundreds. */
const answerLimit = 16 * 1024 * 1024;

/** Bytes of one argument (execve(2), MAX_ARG_STRLEN, minus the NUL at its end). */
const argumentLimit = 128 * 1024 - 1;

function argumentsTooLarge(args: readonly string[]): string {
  const one = args.find((arg) => Buffer.byteLength(arg) > argumentLimit);
  const advice = "put what is so large into a file of the context or of a named context";
  if (one === undefined)
    return `build args, labels and annotations are together larger than the system lets arguments be: ${advice}`;
  const [, name = "an argument"] = /^([^=]*)=/.exec(one) ?? [];
  return `${name} has ${Buffer.byteLength(one)} bytes; an argument may have ${argumentLimit} at most: ${advice}`;
}

/**
 * Describes full disks that may have caused the failure. Programs report that a disk is full, but not which one, so
 * all disks that this step writes to are checked.
 */
async function diskTrouble(failure: string, run: BuildctlRun): Promise<string | undefined> {
  // Some programs report a full disk as a broken one, and in gVisor all do.
  const isVague = /(I\/O|input\/output) error/i.test(failure);
  if (!isVague && !/no space left on device/i.test(failure)) return undefined;
  const store = run.exporter?.kind === "layout" ? [run.exporter.folder] : [];
  const folders = [...store, ...run.engine.folders, dirname(run.metadataFile)];
  const [, named = ""] = /(\/[^\s:"]+): no space left on device/i.exec(failure) ?? [];
  // A disk that the error names is reported even if it has space again.
  const full = await fullDisks(folders, (folder) => named !== "" && named.startsWith(folder));
  if (full !== undefined || !isVague || run.engine.limited?.limits.tellsFullDisks !== false) return full;
  return `${run.engine.limited?.where}, an I/O error may mean that the disk of ${run.engine.folders.join(", ")} was full`;
}

/**
 * The content of buildctl's `--metadata-file`. The descriptor is there for a single manifest and for an index, the
 * layers only if the daemon's source was edited for it (tools/edit/buildkitd.go).
 */
const Metadata = z.looseObject({
  "containerimage.descriptor": Descriptor,
  "containerimage.layers.proven": z.string().default(""),
  "containerimage.layers.followed": z.string().default(""),
});

async function resultOf({ exporter, metadataFile: file }: SolveRun): Promise<BuildctlOutcome["result"]> {
  if (exporter === undefined) return { descriptor: undefined, proven: new Map() };
  const metadata = Metadata.parse(JSON.parse(readFileSync(file, "utf8")));
  // No get would deliver them. A comma follows the digest of each.
  const [followed = ""] = metadata["containerimage.layers.followed"].split(",");
  if (followed !== "") return failed(damagedBase(followed, undecompressable(followedGzip)));
  return {
    descriptor: metadata["containerimage.descriptor"],
    proven: parseProvenLayers(metadata["containerimage.layers.proven"]),
  };
}
