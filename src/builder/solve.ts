import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { startChild } from "../host/child.ts";
import { concurrently } from "../host/concurrently.ts";
import { UserError } from "../host/errors.ts";
import type { Host } from "../host/host.ts";
import { Descriptor } from "../image/descriptor.ts";
import type { Exporter } from "../image/exporter.ts";
import { buildArguments } from "./arguments.ts";
import type { Builder } from "./builder.ts";
import type { DockerfileInput } from "./inputs/inputs.ts";
import type { Plan, Solve } from "./plan.ts";
import { createProgressBoard, type SolveSummary } from "./progress/follow.ts";
import { formatSeconds } from "./progress/text.ts";

/** What one solve gave: the target's manifest or index, where the exporter put it. */
export interface SolveResult {
  readonly target: string;
  readonly descriptor: Descriptor;
  readonly summary: SolveSummary;
}

export interface SolveAll {
  readonly host: Host;
  readonly builder: Builder;
  readonly plan: Plan;
  readonly dockerfile: DockerfileInput | undefined;
  readonly style: "steps" | "plain";
  /** Where a target's result goes. */
  readonly exporter: (target: string) => Promise<Exporter>;
}

/**
 * Solves all targets at the same time, on one daemon, which does shared steps once.
 * @throws UserError when a build fails (with the failing step's last lines), or the daemon does
 */
export async function solveAll(request: SolveAll): Promise<[SolveResult, ...SolveResult[]]> {
  const { host, plan, dockerfile, style } = request;
  const board = createProgressBoard({
    log: host.log,
    style,
    ...(dockerfile === undefined ? {} : { dockerfile: { name: dockerfile.shown, text: dockerfile.text } }),
  });
  const several = plan.solves.length > 1;
  const [main, ...others] = plan.solves;
  const run = (solve: Solve) => (signal: AbortSignal) =>
    solveOne(
      { ...request, host: { ...host, signal } },
      solve,
      board.follow(several ? solve.target || "main" : undefined),
    );
  const results = await concurrently(host.signal, [run(main), ...others.map(run)]);
  host.log.line(summaryLine(results.map(({ summary }) => summary)));
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

type Followed = ReturnType<ReturnType<typeof createProgressBoard>["follow"]>;

async function solveOne(request: SolveAll, solve: Solve, progress: Followed): Promise<SolveResult> {
  const { host, builder, plan } = request;
  const metadataFile = join(builder.workspace, `metadata-${plan.solves.indexOf(solve)}.json`);
  const buildctl = [
    ...builder.engine.connection,
    ...buildArguments({
      solve,
      exporter: await request.exporter(solve.target),
      metadataFile,
      progress: request.style === "plain" ? "plain" : "rawjson",
      importCaches: [],
      exportCaches: [],
      authTls: builder.registries.authTls,
    }),
  ];
  const child = startChild(host, "buildctl", buildctl, {
    env: builder.registries.env,
    stdout: "ignore",
    buffer: false,
    reject: false,
  });
  child.stderr.on("data", (bytes: Buffer) => progress.write(bytes));
  const { exitCode } = await child;
  const summary = progress.end();
  host.signal.throwIfAborted();
  if (exitCode === 0)
    return { target: solve.target, descriptor: await readDescriptor(metadataFile), summary };
  if (exitCode === 127)
    throw new UserError(
      "buildctl is not on PATH: use the resource's own image, or install BuildKit 0.28.1 or newer",
    );
  throw new UserError(
    (await builder.engine.diagnose()) ?? summary.failure ?? `buildctl ended with status ${String(exitCode)}`,
  );
}

/** buildctl's `--metadata-file`: the descriptor is there for one manifest and for an index alike. */
const Metadata = z.looseObject({ "containerimage.descriptor": Descriptor });

async function readDescriptor(file: string): Promise<Descriptor> {
  return Metadata.parse(JSON.parse(await readFile(file, "utf8")))["containerimage.descriptor"];
}
