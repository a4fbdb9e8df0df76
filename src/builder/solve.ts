import { join } from "node:path";
import { concurrently } from "../host/concurrently.ts";
import { UserError } from "../host/errors.ts";
import type { Host } from "../host/host.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { Exporter } from "../image/exporter.ts";
import type { Builder } from "./builder.ts";
import { cacheAttributes } from "./cache.ts";
import type { Engine } from "./engine/engine.ts";
import type { Share } from "./engine/pool.ts";
import type { DockerfileInput } from "./inputs/inputs.ts";
import { forPlatforms, type Plan, type Solve } from "./plan.ts";
import { createProgressBoard, type ProgressBoard, type SolveSummary } from "./progress/follow.ts";
import { formatSeconds } from "./progress/text.ts";
import { type BuildctlRun, runBuildctl } from "./run-buildctl.ts";

/** What one target's solves gave: its manifest or index, where the exporter put it. */
export interface SolveResult {
  readonly target: string;
  readonly descriptor: Descriptor;
  readonly summaries: readonly SolveSummary[];
}

export interface SolveAll {
  readonly host: Host;
  readonly builder: Builder;
  readonly plan: Plan;
  readonly dockerfile: DockerfileInput | undefined;
  readonly style: "steps" | "plain";
  /** Where a solve's result goes. */
  readonly exporter: (target: string) => Promise<Exporter>;
  /** Makes one index of the images that several nodes have built of one target. */
  readonly merge: (built: readonly Descriptor[]) => Promise<Descriptor>;
}

/**
 * Solves all targets at the same time. One daemon does shared steps once; of several, each builds its platforms.
 * @throws UserError when a build fails (with the failing step's last lines), or no daemon can be used
 */
export async function solveAll(request: SolveAll): Promise<[SolveResult, ...SolveResult[]]> {
  const { host, plan, dockerfile, style } = request;
  const board = createProgressBoard({
    log: host.log,
    style,
    ...(dockerfile === undefined ? {} : { dockerfile: { name: dockerfile.shown, text: dockerfile.text } }),
  });
  const [main, ...others] = plan.solves;
  const run = (solve: Solve) => (signal: AbortSignal) =>
    solveTarget({ ...request, host: { ...host, signal } }, solve, board);
  const results = await concurrently(host.signal, [run(main), ...others.map(run)]);
  host.log.line(summaryLine(results.flatMap(({ summaries }) => summaries)));
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
  const { host, builder, plan } = request;
  const { target } = solve;
  const shares = await builder.pool.share(target, solve.platforms);
  const isShared = shares.length > 1;
  const parts = await concurrently(
    host.signal,
    shares.map((share) => (signal: AbortSignal) => {
      const [platform] = share.platforms;
      const part: Part = {
        solve: isShared ? forPlatforms(solve, share.platforms) : solve,
        share,
        scope: { target: solve === plan.solves[0] ? "" : target, platform: isShared ? platform : undefined },
        names: [plan.solves.length > 1 && (target || "main"), isShared && platform].filter(
          (name) => typeof name === "string",
        ),
      };
      return solvePart({ ...request, host: { ...host, signal } }, part, board);
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

/** What one solve on one daemon shall do. */
interface Part {
  readonly solve: Solve;
  readonly share: Share;
  readonly scope: { readonly target: string; readonly platform: string | undefined };
  /** What tells it from the build's other solves; none if there are no others. */
  readonly names: readonly string[];
}

type Solved = { readonly descriptor: Descriptor; readonly summary: SolveSummary };

/** Tries the share's daemons: one that can't be reached is passed over; one that dies is replaced once. */
async function solvePart(request: SolveAll, part: Part, board: ProgressBoard): Promise<Solved> {
  const { host } = request;
  const { engines } = part.share;
  const what = part.names.length === 0 ? "" : ` ${part.names.join(" for ")}`;
  const problems: string[] = [];
  let failures = 0;
  for (const engine of engines) {
    const problem = engines.length > 1 ? await engine.diagnose() : undefined;
    if (problem !== undefined) {
      problems.push(problem);
      host.log.warn(`${problem}; passing it over`);
      continue;
    }
    host.log.line(`building${what} with ${engine.where}`);
    const outcome = await solveOn(engine, request, part, board);
    if (!("failure" in outcome)) return outcome;
    const died = await engine.diagnose();
    if (died === undefined) throw new UserError(outcome.failure);
    problems.push(died);
    failures++;
    if (failures > 1) break;
    if (engine !== engines.at(-1)) host.log.warn(`${died}; building${what} once more, elsewhere`);
  }
  throw new UserError(problems.join("\n"));
}

async function solveOn(
  engine: Engine,
  request: SolveAll,
  { solve, scope, names }: Part,
  board: ProgressBoard,
): Promise<Solved | { readonly failure: string }> {
  const { host, builder } = request;
  const { imports, exports } = cacheAttributes(builder.cache, scope);
  const attempt = async (importCaches: typeof imports) => {
    const run: BuildctlRun = {
      host,
      engine,
      env: builder.registries.env,
      solve,
      exporter: await request.exporter(solve.target),
      metadataFile: join(builder.workspace, `metadata-${crypto.randomUUID()}.json`),
      progress: request.style === "plain" ? "plain" : "rawjson",
      importCaches,
      exportCaches: exports,
      authTls: builder.registries.authTls,
    };
    return await runBuildctl(run, board.follow(names.length === 0 ? undefined : names.join(" ")));
  };
  const outcome = await attempt(imports);
  if (!("failure" in outcome) || imports.length === 0 || !isLostBlob(outcome.failure)) return outcome;
  host.log.warn(`${outcome.failure}\nThe layer cache may be damaged: building once more without it`);
  return await attempt([]);
}

/** Layers of a cache are fetched only when a step needs them, so a damaged one shows as that step's failure. */
function isLostBlob(failure: string): boolean {
  if (/exit code: \d+/.test(failure)) return false;
  return /unexpected commit digest|failed commit on ref|failed to copy|httpReadSeeker|blob .*not found|failed to compute cache key/.test(
    failure,
  );
}
