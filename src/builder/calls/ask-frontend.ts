import { join } from "node:path";
import { UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import type { StepContext } from "../../host/step-context.ts";
import { uniqueId } from "../../host/unique-id.ts";
import type { Builder } from "../builder.ts";
import type { Inputs } from "../inputs/inputs.ts";
import { noLayerCache } from "../plan/layer-cache.ts";
import type { Solve } from "../plan/plan.ts";
import { buildctlEnvironment } from "../program-environment.ts";
import { createProgressBoard } from "../progress/board.ts";
import type { BuildDescription } from "../progress/build-description.ts";
import { runBuildctl } from "../solve/run-buildctl.ts";

/** What is needed to ask about a Dockerfile: the solves of its build, none of which is run. */
export interface AskedBuild {
  readonly step: StepContext;
  readonly builder: Builder;
  /** One for each target, the main one first. */
  readonly solves: readonly [Solve, ...Solve[]];
  readonly inputs: Inputs;
  /** For messages. */
  readonly described: BuildDescription;
  /** Milliseconds without news from the daemon, after which it is asked whether it still answers. */
  readonly stall: number;
}

/** The frontend that the Dockerfile names ended without an answer. */
export class EndOfFrontend extends UserError {}

/** What can be asked of a Dockerfile's frontend instead of a build (BuildKit, frontend/subrequests). */
export type FrontendRequest = "frontend.lint" | "frontend.outline" | "frontend.targets";

/**
 * Asks the frontend about the target of a solve, and returns its answer, a text. Nothing is built, but images that
 * FROM names are looked up.
 * @throws UserError if the Dockerfile can't be built as it is, or if its frontend doesn't know the request
 */
export async function askFrontend(
  { step, builder, described, stall }: AskedBuild,
  solve: Solve,
  request: FrontendRequest,
): Promise<string> {
  const [share] = await builder.pool.share(solve.target, solve.platforms);
  const [engine] = share.engines;
  const problem = await engine.accepts();
  if (problem !== undefined) throw new UserError(problem);
  const board = createProgressBoard({ log: withoutWarnings(step.log), style: "steps", build: described });
  const { answer, result } = await runBuildctl(
    {
      step,
      engine,
      ready: () => Promise.resolve(),
      env: buildctlEnvironment(step, { ...builder, cache: noLayerCache }),
      solve: { ...solve, options: new Map([...solve.options, ["requestid", request]]) },
      exporter: undefined,
      metadataFile: join(builder.workspace, `metadata-${uniqueId()}.json`),
      importCaches: [],
      exportCaches: [],
      authTls: builder.authTls,
      silence: { cache: stall, daemon: stall },
      watch: undefined,
    },
    board.follow({ daemon: engine.where }),
  );
  if ("descriptor" in result) return answer;
  const { message, isEndOfFrontend = false } = result.failure;
  const died = await engine.diagnose();
  if (died !== undefined) throw new UserError(died);
  throw isEndOfFrontend ? new EndOfFrontend(message) : new UserError(message);
}

/** An outline reports findings of the checks too. They are taken from the answer to `frontend.lint`. */
function withoutWarnings(log: Log): Log {
  return { ...log, warn: () => undefined };
}
