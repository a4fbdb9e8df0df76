import type { BuildOptions, Strings } from "../builder/plan/build-options.ts";
import type { NamedParam } from "../host/author-names.ts";
import { UserError } from "../host/errors.ts";
import type { StepContext } from "../host/step-context.ts";

/**
 * The variables by which Concourse describes a build in a step's environment (its docs, "Resource metadata"). None
 * is a secret.
 */
const buildVariables =
  "BUILD_ID BUILD_NAME BUILD_JOB_ID BUILD_JOB_NAME BUILD_PIPELINE_ID BUILD_PIPELINE_NAME BUILD_PIPELINE_INSTANCE_VARS BUILD_TEAM_ID BUILD_TEAM_NAME BUILD_CREATED_BY BUILD_URL BUILD_URL_SHORT ATC_EXTERNAL_URL".split(
    " ",
  );

const use = /\$(?:\{(\w+)\}|(\w+))/g;

/**
 * Replaces Concourse's variables in the params' build args, labels and annotations, if `expand` is set. If not,
 * values stay as they are, and a warning is logged for each that uses one. All other variables are left alone, and
 * so are files of args, which belong to the repository.
 * @throws UserError for a variable that this build doesn't have
 */
export function expandBuildVariables(
  options: BuildOptions,
  step: Pick<StepContext, "env" | "log" | "names">,
): BuildOptions {
  if (!options.expand) {
    warnOfUses("build_args", options.buildArgs, step);
    warnOfUses("labels", options.labels, step);
    warnOfUses("annotations", options.annotations, step);
    return options;
  }
  return {
    ...options,
    buildArgs: expanded("build_args", options.buildArgs, step),
    labels: expanded("labels", options.labels, step),
    annotations: expanded("annotations", options.annotations, step),
  };
}

/** Concourse's description of this build, by the variables' names in lower case. */
export function concourseVariables(env: StepContext["env"]): Record<string, string> {
  return Object.fromEntries(
    buildVariables.flatMap((name) => {
      const value = env[name];
      return value === undefined || value === "" ? [] : [[name.toLowerCase(), value] as const];
    }),
  );
}

function expanded(
  param: NamedParam,
  values: Strings,
  { env, names }: Pick<StepContext, "env" | "names">,
): Strings {
  return mapValues(values, (value, name) =>
    value.replaceAll(use, (text, braced: string | undefined, bare: string | undefined) => {
      const variable = braced ?? bare ?? "";
      if (!buildVariables.includes(variable)) return text;
      const content = env[variable];
      if (content !== undefined) return content;
      throw new UserError(
        `${names.param(param, name)}: this build has no ${variable}, because it belongs to no job or pipeline; remove it from the value`,
      );
    }),
  );
}

function warnOfUses(
  param: NamedParam,
  values: Strings,
  { log, names }: Pick<StepContext, "log" | "names">,
): void {
  for (const [name, value] of Object.entries(values)) {
    const found = Array.from(value.matchAll(use)).find(([, braced, bare]) =>
      buildVariables.includes(braced ?? bare ?? ""),
    );
    if (found === undefined) continue;
    log.warn(
      `${names.param(param, name)}: ${found[0]} stays as it is: Concourse's variables are put into values only with "expand: true" in a put's params`,
    );
  }
}

function mapValues(values: Strings, each: (value: string, name: string) => string): Strings {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, each(value, name)]));
}
