import type { PartialWork } from "./events.ts";
import type { BuildStep } from "./step.ts";

/** Shows steps as they are reported. */
export interface StepPrinter {
  began(step: BuildStep): void;
  /** A line that the step's program, or BuildKit itself, wrote. */
  wrote(step: BuildStep, line: string): void;
  /** A part of the step's work has begun or ended. */
  did(step: BuildStep, part: PartialWork): void;
  /** @param label names the target, if there are several */
  ended(step: BuildStep, label: string | undefined): void;
}
