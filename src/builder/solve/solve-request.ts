import type { StepContext } from "../../host/step-context.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { Exporter } from "../../image/exporter.ts";
import type { Timeouts } from "../../registry/retry-policy.ts";
import type { Builder } from "../builder.ts";
import type { Solve } from "../plan/plan.ts";
import type { BuildDescription } from "../progress/build-description.ts";
import type { StepName } from "../progress/step.ts";

/** What is asked of BuildKit for one build: all its targets, and where their results go. */
export interface SolveRequest {
  readonly step: StepContext;
  readonly builder: Builder;
  /** One for each target, the main one first. */
  readonly solves: readonly [Solve, ...Solve[]];
  /** For messages. */
  readonly described: BuildDescription;
  readonly style: "steps" | "plain";
  /** Where the result of a target's solve goes, the main one's for an empty name; undefined: nowhere, it is only built. */
  readonly exporter: (target: string) => Promise<Exporter | undefined>;
  /** Makes one index of the images that several nodes have built of one target. */
  readonly merge: (built: readonly Descriptor[]) => Promise<Descriptor>;
  /** How long other machines are waited for; the retries of pushes among it. */
  readonly timeouts: Timeouts;
  readonly hold: StepHold | undefined;
}

/** Steps that something else has to be done for first, at the same time as the steps before them. */
export interface StepHold {
  /** Whether one of the running steps has begun too early: then its solve is ended, and begun anew after `released`. */
  isHeld(running: readonly StepName[]): boolean;
  readonly released: Promise<void>;
  /** Told what is running, for what can be done beside the export. */
  isRunning(running: readonly StepName[]): void;
}
