import type { Environment } from "../host/step-context.ts";
import type { RegistryFiles } from "../registry/registry-files.ts";
import type { LayerCache } from "./plan/layer-cache.ts";

/**
 * The environment of `buildctl build`: the step's own variables, those that name the files with registry
 * credentials, and the credentials of a layer cache.
 */
export function buildctlEnvironment(
  step: { readonly env: Environment },
  registries: Pick<RegistryFiles, "env">,
  cache: Pick<LayerCache, "buildctlEnv">,
): Environment {
  return { ...step.env, ...registries.env, ...cache.buildctlEnv };
}

/**
 * The environment of a buildkitd that the step starts. Every runc and git that it starts inherits these variables.
 * @param cacheEnv variables by which it finds the credentials of a layer cache
 * @param workspace the folder for its temporary files, such as sockets of ssh agents, which it doesn't remove
 */
export function daemonEnvironment(
  step: { readonly env: Environment },
  registries: Pick<RegistryFiles, "env">,
  { cacheEnv, workspace }: { readonly cacheEnv: Environment; readonly workspace: string },
): Environment {
  return { ...step.env, ...registries.env, ...cacheEnv, ...unlimitedLogs, TMPDIR: workspace };
}

/** By default BuildKit cuts a step's log after 2 MiB, which would lose the error at its end. */
const unlimitedLogs = { BUILDKIT_STEP_LOG_MAX_SIZE: "-1", BUILDKIT_STEP_LOG_MAX_SPEED: "-1" };
