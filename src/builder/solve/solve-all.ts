import { concurrently } from "../../host/concurrently.ts";
import { formatExactPlatform } from "../../image/platform.ts";
import { provenBy } from "../../image/proven-layers.ts";
import { forPlatforms, type Solve } from "../plan/plan.ts";
import { createProgressBoard, type ProgressBoard } from "../progress/board.ts";
import type { SolveSummary } from "../progress/followed-solve.ts";
import type { NamedImage, StepTimes } from "../progress/step-times.ts";
import { summaryLine } from "../progress/summary.ts";
import type { Exported } from "./run-buildctl.ts";
import { type EngineSolve, type SolvingEngine, solveOnEngines } from "./solve-on-engines.ts";
import type { SolveRequest } from "./solve-request.ts";

/** The result of one target's solves: its manifest or index, where the exporter put it. */
export interface SolveResult extends Exported {
  readonly target: string;
  readonly summaries: readonly SolveSummary[];
  readonly engines: readonly SolvingEngine[];
}

/** The results of all targets, the main one first, and what was seen while they were solved. */
export interface Solved {
  readonly results: [SolveResult, ...SolveResult[]];
  readonly steps: readonly StepTimes[];
  /** The base images and frontends, by digest. */
  readonly images: readonly NamedImage[];
  /** The names of the images that were looked up, before a source policy converted them. */
  readonly lookedUp: readonly string[];
}

/**
 * Solves all targets at the same time. A daemon runs a step once, even if several targets share it. If there are
 * several daemons, each builds its own platforms.
 * @throws UserError if a build fails (with the failing step's last lines), or if no daemon can be used
 */
export async function solveAll(request: SolveRequest): Promise<Solved> {
  const { step, solves, described, style } = request;
  const board = createProgressBoard({
    log: step.log,
    style,
    build: described,
  });
  const [main, ...others] = solves;
  const run = (solve: Solve) => (signal: AbortSignal) =>
    solveTarget({ ...request, step: { ...step, signal } }, solve, board);
  const results = await concurrently(step.signal, [run(main), ...others.map(run)]);
  for (const line of [summaryLine(results.flatMap(({ summaries }) => summaries)), ...board.timings()])
    step.log.line(line);
  return { results, steps: board.steps(), images: board.images(), lookedUp: board.lookedUp() };
}

async function solveTarget(request: SolveRequest, solve: Solve, board: ProgressBoard): Promise<SolveResult> {
  const { step, builder, solves } = request;
  const { target } = solve;
  const shares = await builder.pool.share(target, solve.platforms);
  const isShared = shares.length > 1;
  const parts = await concurrently(
    step.signal,
    shares.map((share) => (signal: AbortSignal) => {
      const platform = share.platforms.map(formatExactPlatform)[0];
      const part: EngineSolve = {
        solve: isShared ? forPlatforms(solve, share.platforms) : solve,
        share,
        scope: { target: solve === solves[0] ? "" : target, platform: isShared ? platform : undefined },
        names: [solves.length > 1 && (target || "main"), isShared && platform].filter(
          (name) => typeof name === "string",
        ),
      };
      return solveOnEngines({ ...request, step: { ...step, signal } }, part, board);
    }),
  );
  const descriptors = parts.flatMap(({ descriptor }) => descriptor ?? []);
  const [only] = descriptors;
  return {
    target,
    descriptor: descriptors.length > 1 ? await request.merge(descriptors) : only,
    proven: provenBy(parts),
    summaries: parts.map(({ summary }) => summary),
    engines: parts.map(({ engine }) => engine),
  };
}
