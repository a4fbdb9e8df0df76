import type { Inputs } from "../builder/inputs/inputs.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import type { AuthorNames } from "../host/author-names.ts";
import type { StepContext } from "../host/step-context.ts";
import { suggestName } from "../host/suggest.ts";
import { takenOptions } from "../request/option-names.ts";
import { optionValues } from "../request/option-values.ts";
import type { PlacedMessage } from "../request/rules.ts";
import { hasOtherFrontend } from "./build-arg-warnings.ts";

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

/**
 * The options that BuildKit's Dockerfile frontend doesn't know, and so ignores. Pure.
 * @param dockerfile its text, where it is known: another frontend that it names may know the options
 */
export function ignoredOptions(
  { frontendOptions, buildArgs }: Pick<BuildOptions, "frontendOptions" | "buildArgs">,
  dockerfile: string | undefined,
  names: AuthorNames,
): readonly PlacedMessage[] {
  if (hasOtherFrontend(buildArgs, dockerfile)) return [];
  return Object.keys(frontendOptions)
    .filter((name) => !freeOptions.includes(name) && !name.startsWith(freePrefix))
    .map((name) => {
      const near = ofDocker[name] ?? suggestName(name, [...freeOptions, ...Object.keys(takenOptions)]);
      const hint = near === undefined ? "remove it" : `did you mean ${JSON.stringify(near)}?`;
      const message = `${names.param("options", name)}: BuildKit's Dockerfile frontend has no such option and ignores it; ${hint}`;
      return { path: ["options", name], message };
    });
}

/** Warns of options that have no effect. A Dockerfile that BuildKit fetches may name another frontend. */
export function warnOfOptions(
  options: Pick<BuildOptions, "frontendOptions" | "buildArgs">,
  { dockerfile }: Pick<Inputs, "dockerfile">,
  { log, names }: Pick<StepContext, "log" | "names">,
): void {
  if (dockerfile === undefined) return;
  for (const { message } of ignoredOptions(options, dockerfile.text, names)) log.warn(message);
}
