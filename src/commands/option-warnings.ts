import type { Inputs } from "../builder/inputs/inputs.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import type { StepContext } from "../host/step-context.ts";
import { suggestName } from "../host/suggest.ts";
import { takenOptions } from "../request/option-names.ts";
import { optionValues } from "../request/option-values.ts";
import { hasOtherSyntax } from "./build-arg-warnings.ts";

/**
 * The options of BuildKit's Dockerfile frontend that no param sets (frontend/dockerui/config.go; `vcs:` in
 * solver/llbsolver/provenance/predicate.go). It ignores others.
 */
const freeOptions = [...Object.keys(optionValues), "cgroup-parent"];
const freePrefix = "vcs:";

/** Options of `docker build` and of Compose that the frontend has under names that are not like them. */
const ofDocker: Readonly<Record<string, string | undefined>> = {
  cpus: "cpuquota",
  mem_limit: "memory",
  "memory-swap": "memswap",
  memory_swap: "memswap",
  memswap_limit: "memswap",
};

/** Warns of options that BuildKit's frontend doesn't know, and so ignores. Another frontend may know them. */
export function warnOfOptions(
  { frontendOptions, buildArgs }: Pick<BuildOptions, "frontendOptions" | "buildArgs">,
  { dockerfile }: Pick<Inputs, "dockerfile">,
  { log }: Pick<StepContext, "log">,
): void {
  const isOther =
    "BUILDKIT_SYNTAX" in buildArgs || dockerfile === undefined || hasOtherSyntax(dockerfile.text);
  if (isOther) return;
  for (const name of Object.keys(frontendOptions)) {
    if (freeOptions.includes(name) || name.startsWith(freePrefix)) continue;
    const near = ofDocker[name] ?? suggestName(name, [...freeOptions, ...Object.keys(takenOptions)]);
    const hint = near === undefined ? "remove it" : `did you mean ${JSON.stringify(near)}?`;
    log.warn(`options.${name}: BuildKit's Dockerfile frontend has no such option and ignores it; ${hint}`);
  }
}
