import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../../host/errors.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { type Retries, retryPolicy, startRetries } from "../../registry/retry.ts";
import type { Engine } from "../engine/engine.ts";
import type { Share } from "../engine/pool.ts";
import { cacheAttributes } from "../plan/layer-cache.ts";
import type { Solve } from "../plan/plan.ts";
import type { ProgressBoard } from "../progress/follow.ts";
import type { SolveSummary } from "../progress/followed-solve.ts";
import { formatSeconds } from "../progress/text.ts";
import { type CacheFailure, cacheFailureIn, isPassingPush, isPushRace } from "./failure-kinds.ts";
import type { SolveRequest } from "./request.ts";
import { type BuildctlOutcome, type BuildctlRun, runBuildctl } from "./run-buildctl.ts";

/** What one solve on one daemon shall do. */
export interface EngineSolve {
  readonly solve: Solve;
  readonly share: Share;
  readonly scope: { readonly target: string; readonly platform: string | undefined };
  /** What tells it from the build's other solves; none if there are no others. */
  readonly names: readonly string[];
}

interface Solved {
  readonly descriptor: Descriptor;
  readonly summary: SolveSummary;
}

/**
 * Tries the share's daemons: one that can't be reached is passed over; one that dies is replaced once.
 * @throws UserError for the failing step, or for all daemons that can't be used
 */
export async function solveOnEngines(
  request: SolveRequest,
  part: EngineSolve,
  board: ProgressBoard,
): Promise<Solved> {
  const { step } = request;
  const { engines } = part.share;
  const what = part.names.length === 0 ? "" : ` ${part.names.join(" for ")}`;
  const problems: string[] = [];
  let failures = 0;
  for (const engine of engines) {
    const problem = part.share.areProven ? undefined : await engine.diagnose();
    if (problem !== undefined) {
      problems.push(problem);
      if (engine !== engines.at(-1)) step.log.warn(`${problem}; passing it over`);
      continue;
    }
    step.log.line(`building${what} with ${engine.where}`);
    const { summary, result } = await solveOn(engine, request, part, board);
    if ("descriptor" in result) return { ...result, summary };
    const died = await engine.diagnose();
    if (died === undefined) throw new UserError(result.failure);
    problems.push(died);
    failures++;
    if (failures > 1) break;
    if (engine !== engines.at(-1)) step.log.warn(`${died}; building${what} once more, elsewhere`);
  }
  throw new UserError(problems.join("\n"));
}

/**
 * Solves on one daemon: without a layer cache where that fails it, again while the registry can't take the push, and
 * once more where only its layer cache got lost.
 */
async function solveOn(
  engine: Engine,
  request: SolveRequest,
  { solve, scope, names }: EngineSolve,
  board: ProgressBoard,
): Promise<BuildctlOutcome> {
  const { step, builder, timeouts } = request;
  let caches = cacheAttributes(builder.cache, scope);
  let retries: Retries | undefined;
  const summaries: SolveSummary[] = [];
  /** All that is wanted but for a layer cache. */
  let built: BuildctlOutcome | undefined;
  for (;;) {
    const run: BuildctlRun = {
      step,
      engine,
      env: { ...step.env, ...builder.registries.env, ...builder.cache.clientEnv },
      solve,
      exporter: await request.exporter(solve.target),
      metadataFile: join(builder.workspace, `metadata-${crypto.randomUUID()}.json`),
      progress: request.style === "plain" ? "plain" : "rawjson",
      importCaches: caches.imports,
      exportCaches: caches.exports,
      authTls: builder.authTls,
      silence: { cache: 10 * timeouts.stall, daemon: 30_000 },
    };
    const label = names.length === 0 ? undefined : names.join(" ");
    const { summary, result } = await runBuildctl(run, board.follow(label));
    summaries.push(summary);
    const outcome = { summary: joinSummaries(summaries), result };
    if ("descriptor" in result) {
      const isLost = run.exporter.kind === "push" && isPushRace(summary.unwrittenCache ?? "");
      if (!isLost || built !== undefined) return outcome;
      built = outcome;
      step.log.line("writing the layer cache once more");
      continue;
    }
    if (built !== undefined) return built;
    const { failure } = result;
    const trouble = cacheFailureIn(failure, builder.cache);
    if (trouble !== undefined && caches.imports.length + caches.exports.length > 0) {
      step.log.warn(
        `${failure}\nThe layer cache may be damaged or out of reach: building once more without it`,
      );
      caches = without(trouble, caches);
      continue;
    }
    if (!isPassingPush(failure)) return outcome;
    retries ??= startRetries(retryPolicy(timeouts));
    const left = timeouts.retry - retries.elapsed();
    const pause = retries.pause();
    if (pause === undefined) return outcome;
    step.log.warn(`${failure}\nThis may pass: pushing again for up to ${formatSeconds(left / 1000)}`);
    await delay(pause, undefined, { signal: step.signal });
  }
}

type Caches = ReturnType<typeof cacheAttributes>;

/** A cache that can't be read may still be written, and so mended; when that fails too, there is none. */
function without(trouble: CacheFailure, { imports, exports }: Caches): Caches {
  if (trouble === "reading" && imports.length > 0) return { imports: [], exports };
  if (trouble === "writing" && exports.length > 0) return { imports, exports: [] };
  return { imports: [], exports: [] };
}

/** What several runs of the same solve came to: what one has run, the daemon has for the next. */
function joinSummaries(summaries: readonly SolveSummary[]): SolveSummary {
  const total = Math.max(...summaries.map(({ steps }) => steps.run + steps.cached));
  const run = Math.min(
    total,
    summaries.reduce((sum, { steps }) => sum + steps.run, 0),
  );
  return {
    steps: { run, cached: total - run },
    warnings: summaries.flatMap(({ warnings }) => warnings),
    seconds: summaries.reduce((sum, { seconds }) => sum + seconds, 0),
  };
}
