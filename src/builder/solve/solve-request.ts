import type { StepContext } from "../../host/step-context.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { Exporter } from "../../image/exporter.ts";
import type { Timeouts } from "../../registry/retry-policy.ts";
import type { Builder } from "../builder.ts";
import type { Solve } from "../plan/plan.ts";
import type { BuildDescription } from "../progress/build-description.ts";
import type { FollowedSolve } from "../progress/followed-solve.ts";

/** One build: all its targets, and where their results go. */
export interface SolveRequest {
  readonly step: StepContext;
  readonly builder: Builder;
  /** One for each target, the main one first. */
  readonly solves: readonly [Solve, ...Solve[]];
  /** For messages. */
  readonly described: BuildDescription;
  readonly style: "steps" | "plain";
  /**
   * Where the result of a target's solve goes; an empty name means the main target. Undefined if the target is only
   * built.
   */
  readonly exporter: (target: string) => Promise<Exporter | undefined>;
  /** Joins the images that several nodes have built of one target into one index. */
  readonly merge: (built: readonly Descriptor[]) => Promise<Descriptor>;
  /** How long to wait for other machines, including retries of pushes. */
  readonly timeouts: Timeouts;
  /** Called whenever a solve reports something, so that other work can start at the same time as the export. */
  readonly watch: SolveWatch | undefined;
}

export type SolveWatch = (solve: Pick<FollowedSolve, "running" | "ran">) => void;
