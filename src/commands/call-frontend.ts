import { openBuilder } from "../builder/builder.ts";
import type { AskedBuild } from "../builder/calls/ask-frontend.ts";
import { checkDockerfile } from "../builder/calls/check-dockerfile.ts";
import { outlineDockerfile, targetTable } from "../builder/calls/outline-dockerfile.ts";
import { resolveInputs } from "../builder/inputs/resolve-inputs.ts";
import { noLayerCache } from "../builder/plan/layer-cache.ts";
import { planBuild } from "../builder/plan/plan.ts";
import { describeBuild } from "../builder/solve/describe-build.ts";
import { concurrently } from "../host/concurrently.ts";
import { maskCredentials } from "../host/mask-credentials.ts";
import { createPrivateFolder } from "../host/private-folder.ts";
import type { StepContext } from "../host/step-context.ts";
import { defaultTimeouts } from "../registry/retry-policy.ts";
import type { FrontendCall } from "../request/task-params.ts";
import { knownSecrets } from "./known-secrets.ts";
import { warnOfParams } from "./param-warnings.ts";
import { builderOptions, buildPlatforms, type OpenBuild } from "./run-build.ts";

/**
 * Asks about a Dockerfile instead of building it, and logs the answer. Nothing is delivered.
 * @throws UserError for anything that prevents the build, and for findings of the checks if they count as errors
 */
export async function callFrontend(call: FrontendCall, run: OpenBuild): Promise<void> {
  const { options, folder } = run;
  await using held = new AsyncDisposableStack();
  const { path: workspace } = held.use(await createPrivateFolder("inputs"));
  const [builder, inputs] = await concurrently(run.step.signal, [
    async (signal) =>
      held.use(await openBuilder(builderOptions(run, options.context, { ...run.step, signal }))),
    (signal) =>
      resolveInputs({
        options,
        folder,
        workspace,
        platforms: buildPlatforms(options.platforms, run),
        env: run.step.env,
        names: run.step.names,
        excluded: undefined,
        log: run.step.log,
        signal,
      }),
  ]);
  const secrets = await knownSecrets({ access: run.access, inputs, cache: run.cache, tracing: run.tracing });
  const { step, warned } = countWarnings(withMaskedLog(run.step, secrets));
  if (call === "check") warnOfParams(options, inputs, step);
  const asked: AskedBuild = {
    step,
    builder,
    solves: planBuild(options, inputs),
    inputs,
    described: describeBuild(inputs, {
      ...options,
      shown: options.context,
      access: run.access,
      cache: noLayerCache,
      isOwn: run.daemons.kind === "own",
      names: step.names,
    }),
    stall: defaultTimeouts.stall,
  };
  for (const line of await answersTo[call](asked)) step.log.line(line);
  if (call === "check") step.log.line(countOf(warned()));
}

/** The step, with secrets masked in what it logs: answers show build args, and the Dockerfile's text. */
function withMaskedLog(step: StepContext, secrets: readonly string[]): StepContext {
  const { log } = step;
  return {
    ...step,
    log: {
      ...log,
      line: (text) => log.line(maskCredentials(text, secrets)),
      warn: (text) => log.warn(maskCredentials(text, secrets)),
    },
  };
}

function countWarnings(step: StepContext): { readonly step: StepContext; readonly warned: () => number } {
  let count = 0;
  const warn = (text: string) => {
    count++;
    step.log.warn(text);
  };
  return { step: { ...step, log: { ...step.log, warn } }, warned: () => count };
}

const answersTo: Readonly<Record<FrontendCall, (asked: AskedBuild) => Promise<readonly string[]>>> = {
  check: async (asked) => {
    await checkDockerfile(asked);
    return [];
  },
  outline: outlineDockerfile,
  targets: targetTable,
};

function countOf(findings: number): string {
  if (findings === 0) return "checked: no warnings";
  return findings === 1 ? "checked: 1 warning" : `checked: ${findings} warnings`;
}
