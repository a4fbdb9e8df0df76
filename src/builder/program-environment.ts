import type { Environment } from "../host/step-context.ts";
import type { RegistryFiles } from "../registry/registry-files.ts";
import type { LayerCache } from "./plan/layer-cache.ts";

/** The environment of `buildctl build`: the step's own, where its credentials are, and those of a layer cache. */
export function buildctlEnvironment(
  step: { readonly env: Environment },
  registries: Pick<RegistryFiles, "env">,
  cache: Pick<LayerCache, "buildctlEnv">,
): Environment {
  return { ...step.env, ...registries.env, ...cache.buildctlEnv };
}

/**
 * The environment of a buildkitd that the step starts. Every runc and git that it starts has the same variables.
 * @param cacheEnv where it finds the credentials of a layer cache
 * @param workspace for its temporary files: it leaves the sockets of ssh agents there
 */
export function daemonEnvironment(
  step: { readonly env: Environment },
  registries: Pick<RegistryFiles, "env">,
  { cacheEnv, workspace }: { readonly cacheEnv: Environment; readonly workspace: string },
): Environment {
  return { ...step.env, ...registries.env, ...cacheEnv, ...unlimitedLogs, TMPDIR: workspace };
}

/** BuildKit cuts a step's log at 2 MiB unless told otherwise, and an error stands at its end. */
const unlimitedLogs = { BUILDKIT_STEP_LOG_MAX_SIZE: "-1", BUILDKIT_STEP_LOG_MAX_SPEED: "-1" };
