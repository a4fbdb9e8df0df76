import { join } from "node:path";
import { UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import type { Environment } from "../../host/step-context.ts";
import { sum } from "../../host/sum.ts";
import { uniqueId } from "../../host/unique-id.ts";
import { formatPlatform } from "../../image/platform.ts";
import { retryPolicy } from "../../registry/retry-policy.ts";
import type { Engine } from "../engine/engine.ts";
import type { Share } from "../engine/pool.ts";
import { cacheAttributes } from "../plan/layer-cache.ts";
import type { Solve } from "../plan/plan.ts";
import { buildctlEnvironment } from "../program-environment.ts";
import type { ProgressBoard } from "../progress/board.ts";
import type { SolveSummary } from "../progress/followed-solve.ts";
import { pushingAgain, type UsedCaches, withoutBrokenCaches, writingLostCacheAgain } from "./recoveries.ts";
import { type BuildctlOutcome, type BuildctlRun, type Exported, runBuildctl } from "./run-buildctl.ts";
import type { SolveRequest } from "./solve-request.ts";

/** One solve, and the daemons that can run it. */
export interface EngineSolve {
  readonly solve: Solve;
  readonly share: Share;
  readonly scope: { readonly target: string; readonly platform: string | undefined };
  /** Target and platform that distinguish it from the build's other solves. Empty if there are no others. */
  readonly names: readonly string[];
}

/** The BuildKit that a target was built with. */
export interface SolvingEngine {
  /** {@link Engine.where} */
  readonly where: string;
  /** Undefined if its build has none. */
  readonly version: string | undefined;
  /** {@link Engine.runc} */
  readonly runc: string | undefined;
  /** {@link BuildctlOutcome.buildctl} */
  readonly buildctl: string | undefined;
}

interface SolvedPart extends Exported {
  readonly summary: SolveSummary;
  readonly engine: SolvingEngine;
}

/**
 * Tries the share's daemons in order. A daemon that can't be reached is skipped. If a daemon dies during the build,
 * the next one builds once more; a second such failure ends the build.
 * @throws UserError for the failing step, or for all daemons that can't be used
 */
export async function solveOnEngines(
  request: SolveRequest,
  part: EngineSolve,
  board: ProgressBoard,
): Promise<SolvedPart> {
  const { step } = request;
  const { engines } = part.share;
  const what = part.names.length === 0 ? "" : ` ${part.names.join(" for ")}`;
  const problems: string[] = [];
  let failures = 0;
  for (const engine of engines) {
    let accepted: Promise<void> | undefined;
    const ready: BuildctlRun["ready"] = (said) => {
      accepted ??= acceptedBy(engine, said, { what, log: step.log });
      return accepted;
    };
    const solved = await solveOn(engine, request, { ...part, ready }, board).catch((thrown: unknown) => {
      if (thrown instanceof UnusableEngine) return thrown;
      throw thrown;
    });
    if (solved instanceof UnusableEngine) {
      problems.push(solved.message);
      if (engine !== engines.at(-1)) step.log.warn(`${solved.message}; trying another`);
      continue;
    }
    const { summary, result, buildctl } = solved;
    if ("descriptor" in result) {
      const { where, runc, provesLayers } = engine;
      const proven = provesLayers ? result.proven : new Map();
      return { ...result, proven, summary, engine: { where, version: engine.version(), runc, buildctl } };
    }
    const died = await engine.diagnose();
    if (died === undefined) throw new UserError(result.failure.message);
    problems.push(died);
    failures++;
    if (failures > 1) break;
    if (engine !== engines.at(-1)) step.log.warn(`${died}; building${what} once more, elsewhere`);
  }
  throw new UserError(problems.join("\n"));
}

/** A daemon that can't build. The message says why. */
class UnusableEngine extends Error {}

/**
 * Waits until the daemon has answered, and logs that it builds.
 * @throws UnusableEngine
 */
async function acceptedBy(
  engine: Engine,
  said: () => Promise<string | undefined>,
  { what, log }: { readonly what: string; readonly log: Log },
): Promise<void> {
  const problem = await engine.accepts(said);
  if (problem !== undefined) throw new UnusableEngine(problem);
  const version = engine.version();
  log.line(`building${what} with ${engine.where}${version === undefined ? "" : ` (${version})`}`);
}

/** A solve on one daemon. */
type ReadySolve = EngineSolve & Pick<BuildctlRun, "ready">;

/**
 * Solves on one daemon, and recovers from failures that aren't the author's fault: a broken cache, a push that may
 * succeed later.
 */
async function solveOn(
  engine: Engine,
  request: SolveRequest,
  part: ReadySolve,
  board: ProgressBoard,
): Promise<BuildctlOutcome> {
  const { step, builder, timeouts } = request;
  const { signal, log } = step;
  const { imports, exports } = cacheAttributes(builder.cache, part.scope);
  const summaries: SolveSummary[] = [];
  const solve = withoutBrokenCaches(
    async (caches) => {
      const outcome = await solveOnce(engine, request, { part, board, caches });
      summaries.push(outcome.summary);
      return outcome;
    },
    { caches: { importCaches: imports, exportCaches: exports }, cache: builder.cache, log },
  );
  const pushed = await pushingAgain(solve, { policy: retryPolicy(timeouts), log, signal });
  const last = await writingLostCacheAgain(pushed, solve, log);
  return { ...last, summary: joinSummaries(summaries) };
}

function solveOnce(
  engine: Engine,
  request: SolveRequest,
  solving: { part: ReadySolve; board: ProgressBoard; caches: UsedCaches },
): Promise<BuildctlOutcome> {
  const { scope, solve } = solving.part;
  return request.step.trace(
    "solve",
    async (span) => {
      const outcome = await runSolve(engine, request, { ...solving, variables: span.variables });
      const { steps, pushing } = outcome.summary;
      const { run, cached } = steps;
      if (pushing !== undefined) span.part("push", pushing);
      span.note({ "steps.run": run, "steps.cached": cached });
      if ("failure" in outcome.result) span.fail(outcome.result.failure.message);
      return outcome;
    },
    {
      "build.target": solve.target,
      "build.platforms": scope.platform ?? solve.platforms.map(formatPlatform).join(","),
      "build.engine": engine.where,
    },
  );
}

async function runSolve(
  engine: Engine,
  request: SolveRequest,
  {
    part,
    board,
    caches,
    variables,
  }: { part: ReadySolve; board: ProgressBoard; caches: UsedCaches; variables: Environment },
): Promise<BuildctlOutcome> {
  const { step, builder, timeouts } = request;
  const { solve, names, ready } = part;
  const run: BuildctlRun = {
    ...caches,
    step,
    engine,
    ready,
    env: {
      ...buildctlEnvironment(step, builder),
      ...variables,
    },
    solve,
    exporter: await request.exporter(part.scope.target),
    metadataFile: join(builder.workspace, `metadata-${uniqueId()}.json`),
    authTls: builder.authTls,
    silence: { cache: 10 * timeouts.stall, daemon: 30_000 },
    watch: request.watch,
  };
  const label = names.length === 0 ? undefined : names.join(" ");
  return runBuildctl(run, board.follow({ label, platform: part.scope.platform, daemon: engine.where }));
}

/**
 * Joins the summaries of several runs of one solve. A step that one run has executed is cached for the next, and
 * counts as run.
 */
function joinSummaries(summaries: readonly SolveSummary[]): SolveSummary {
  const total = Math.max(...summaries.map(({ steps }) => steps.run + steps.cached));
  const run = Math.min(total, sum(summaries.map(({ steps }) => steps.run)));
  return {
    steps: { run, cached: total - run },
    warnings: summaries.flatMap(({ warnings }) => warnings),
    seconds: sum(summaries.map(({ seconds }) => seconds)),
  };
}
