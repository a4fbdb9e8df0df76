import type { Inputs } from "../builder/inputs/inputs.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import type { StepContext } from "../host/step-context.ts";
import { suggestName } from "../host/suggest.ts";
import { takenOptions } from "../request/option-names.ts";
import { hasOtherSyntax } from "./build-arg-warnings.ts";

/**
 * The options of BuildKit's Dockerfile frontend that no param sets (frontend/dockerui/config.go; `attest:` in
 * frontend/attestations/parse.go; `vcs:` in
 * solver/llbsolver/provenance/predicate.go). It ignores others.
 */
const freeOptions = [
  "cgroup-parent",
  "cpuperiod",
  "cpuquota",
  "cpusetcpus",
  "cpusetmems",
  "cpushares",
  "hostname",
  "memory",
  "memswap",
  "multi-platform",
];
const freePrefixes = /^(attest|vcs):/;

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
    if (freeOptions.includes(name) || freePrefixes.test(name)) continue;
    const near = suggestName(name, [...freeOptions, ...Object.keys(takenOptions)]);
    const hint = near === undefined ? "remove it" : `did you mean ${JSON.stringify(near)}?`;
    log.warn(`options.${name}: BuildKit's Dockerfile frontend has no such option and ignores it; ${hint}`);
  }
}
