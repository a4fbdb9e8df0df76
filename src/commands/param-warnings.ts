import type { Inputs } from "../builder/inputs/inputs.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import type { StepContext } from "../host/step-context.ts";
import { warnOfArgs } from "./build-arg-warnings.ts";
import { warnOfOptions } from "./option-warnings.ts";
import { warnOfPolicy } from "./policy-notes.ts";
import { warnOfUnused } from "./unused-warnings.ts";

/** Warns of what the params name and the Dockerfile or BuildKit doesn't use, and of what looks like a mistake. */
export function warnOfParams(
  options: BuildOptions,
  inputs: Inputs,
  step: Pick<StepContext, "log" | "names">,
): void {
  warnOfArgs(options, inputs, step);
  warnOfUnused(options, inputs, step);
  warnOfOptions(options, inputs, step);
  warnOfPolicy(options, step);
}
