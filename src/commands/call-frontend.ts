import { openBuilder } from "../builder/builder.ts";
import type { AskedBuild } from "../builder/calls/ask-frontend.ts";
import { checkDockerfile } from "../builder/calls/check-dockerfile.ts";
import { outlineDockerfile, targetTable } from "../builder/calls/outline-dockerfile.ts";
import { resolveInputs } from "../builder/inputs/resolve-inputs.ts";
import { planBuild } from "../builder/plan/plan.ts";
import { describeBuild } from "../builder/solve/describe-build.ts";
import { concurrently } from "../host/concurrently.ts";
import { createPrivateFolder } from "../host/private-folder.ts";
import { defaultTimeouts } from "../registry/retry-policy.ts";
import type { FrontendCall } from "../request/task-params.ts";
import { builderOptions, buildPlatforms, type OpenBuild } from "./run-build.ts";

/**
 * Asks about a Dockerfile instead of building it, and logs the answer. Nothing is delivered.
 * @throws UserError for anything that prevents the build, and for findings of the checks if they count as errors
 */
export async function callFrontend(call: FrontendCall, run: OpenBuild): Promise<void> {
  const { step, options, folder } = run;
  await using held = new AsyncDisposableStack();
  const { path: workspace } = held.use(await createPrivateFolder("inputs"));
  const [builder, inputs] = await concurrently(step.signal, [
    async (signal) => held.use(await openBuilder(builderOptions(run, options.context, { ...step, signal }))),
    (signal) =>
      resolveInputs({
        options,
        folder,
        workspace,
        platforms: buildPlatforms(options.platforms, run),
        env: step.env,
        excluded: undefined,
        log: step.log,
        signal,
      }),
  ]);
  const asked: AskedBuild = {
    step,
    builder,
    solves: planBuild(options, inputs),
    inputs,
    described: describeBuild(inputs, { ...options, shown: options.context, access: run.access }),
    stall: defaultTimeouts.stall,
  };
  for (const line of await answersTo[call](asked)) step.log.line(line);
}

const answersTo: Readonly<Record<FrontendCall, (asked: AskedBuild) => Promise<readonly string[]>>> = {
  check: async (asked) => [countOf(await checkDockerfile(asked))],
  outline: outlineDockerfile,
  targets: targetTable,
};

function countOf(findings: number): string {
  if (findings === 0) return "checked: no warnings";
  return findings === 1 ? "checked: 1 warning" : `checked: ${findings} warnings`;
}
