import { concurrently } from "../../host/concurrently.ts";
import type { StepContext } from "../../host/step-context.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { Exporter } from "../../image/exporter.ts";
import type { Builder } from "../builder.ts";
import type { DockerfileInput } from "../inputs/inputs.ts";
import { forPlatforms, type Plan, type Solve } from "../plan/plan.ts";
import { createProgressBoard, type ProgressBoard, type SolveSummary } from "../progress/follow.ts";
import { formatSeconds } from "../progress/text.ts";
import { type EngineSolve, solveOnEngines } from "./solve-on-engines.ts";

/** What one target's solves gave: its manifest or index, where the exporter put it. */
export interface SolveResult {
  readonly target: string;
  readonly descriptor: Descriptor;
  readonly summaries: readonly SolveSummary[];
}

export interface SolveAll {
  readonly step: StepContext;
  readonly builder: Builder;
  readonly plan: Plan;
  readonly dockerfile: DockerfileInput | undefined;
  readonly style: "steps" | "plain";
  /** Where a solve's result goes. */
  readonly exporter: (target: string) => Promise<Exporter>;
  /** Makes one index of the images that several nodes have built of one target. */
  readonly merge: (built: readonly Descriptor[]) => Promise<Descriptor>;
  readonly patience: SolvePatience;
}

/** How long other machines are borne with, in milliseconds. */
export interface SolvePatience {
  /** Of a layer cache that brings nothing. */
  readonly stall: number;
  /** A push that fails for a reason that may pass is tried again for so long. */
  readonly retry: number;
}

export const defaultPatience: SolvePatience = { stall: 30_000, retry: 120_000 };

/**
 * Solves all targets at the same time. One daemon does shared steps once; of several, each builds its platforms.
 * @throws UserError when a build fails (with the failing step's last lines), or no daemon can be used
 */
export async function solveAll(request: SolveAll): Promise<[SolveResult, ...SolveResult[]]> {
  const { step, plan, dockerfile, style } = request;
  const board = createProgressBoard({
    log: step.log,
    style,
    ...(dockerfile === undefined ? {} : { dockerfile: { name: dockerfile.shown, text: dockerfile.text } }),
  });
  const [main, ...others] = plan.solves;
  const run = (solve: Solve) => (signal: AbortSignal) =>
    solveTarget({ ...request, step: { ...step, signal } }, solve, board);
  const results = await concurrently(step.signal, [run(main), ...others.map(run)]);
  step.log.line(summaryLine(results.flatMap(({ summaries }) => summaries)));
  return results;
}

function summaryLine(summaries: readonly SolveSummary[]): string {
  const run = summaries.reduce((sum, { steps }) => sum + steps.run, 0);
  const cached = summaries.reduce((sum, { steps }) => sum + steps.cached, 0);
  const warnings = summaries.reduce((sum, summary) => sum + summary.warnings.length, 0);
  const seconds = Math.max(...summaries.map((summary) => summary.seconds));
  const found = warnings === 0 ? "" : `, ${warnings} ${warnings === 1 ? "warning" : "warnings"}`;
  return `built in ${formatSeconds(seconds)}: ${run} ${run === 1 ? "step" : "steps"} run, ${cached} cached${found}`;
}

async function solveTarget(request: SolveAll, solve: Solve, board: ProgressBoard): Promise<SolveResult> {
  const { step, builder, plan } = request;
  const { target } = solve;
  const shares = await builder.pool.share(target, solve.platforms);
  const isShared = shares.length > 1;
  const parts = await concurrently(
    step.signal,
    shares.map((share) => (signal: AbortSignal) => {
      const [platform] = share.platforms;
      const part: EngineSolve = {
        solve: isShared ? forPlatforms(solve, share.platforms) : solve,
        share,
        scope: { target: solve === plan.solves[0] ? "" : target, platform: isShared ? platform : undefined },
        names: [plan.solves.length > 1 && (target || "main"), isShared && platform].filter(
          (name) => typeof name === "string",
        ),
      };
      return solveOnEngines({ ...request, step: { ...step, signal } }, part, board);
    }),
  );
  const descriptors = parts.map(({ descriptor }) => descriptor);
  const [only] = descriptors;
  return {
    target,
    descriptor: isShared || only === undefined ? await request.merge(descriptors) : only,
    summaries: parts.map(({ summary }) => summary),
  };
}
