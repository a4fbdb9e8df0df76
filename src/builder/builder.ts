import { UserError } from "../host/errors.ts";
import { createPrivateFolder } from "../host/private-folder.ts";
import type { StepContext } from "../host/step-context.ts";
import type { RegistryAccess } from "../registry/access.ts";
import { type RegistryFiles, writeRegistryFiles } from "../registry/registry-files.ts";
import { cacheEnvironment } from "./cache-credentials.ts";
import { type Farm, openFarm } from "./engine/farm.ts";
import { startLocalDaemon } from "./engine/local-daemon.ts";
import { type Nodes, openNodes } from "./engine/nodes.ts";
import { type EnginePool, poolOf } from "./engine/pool.ts";
import { type AuthTlsContext, authTlsContexts, registryBlocks } from "./engine/registry-blocks.ts";
import { type RemoteBuildKit, reachRemoteDaemon } from "./engine/remote-daemon.ts";
import type { Sandbox } from "./engine/sandbox.ts";
import type { LayerCache } from "./plan/layer-cache.ts";
import { daemonEnvironment } from "./program-environment.ts";

/** Where to build. */
export type Daemons =
  /** One that the step starts. */
  | { readonly kind: "own"; readonly sandbox: Sandbox }
  /** One that runs elsewhere. */
  | { readonly kind: "remote"; readonly remote: RemoteBuildKit }
  /** Several elsewhere, each for its own platforms. */
  | { readonly kind: "nodes"; readonly nodes: Nodes }
  /** All behind one name. */
  | { readonly kind: "farm"; readonly farm: Farm };

export interface BuilderOptions {
  readonly step: StepContext;
  readonly access: RegistryAccess;
  readonly daemons: Daemons;
  readonly cache: LayerCache;
  /** Names what is built (its repository or directory), for the order of nodes. */
  readonly subject: string;
  /** Entitlements that the daemon of our own has to permit. */
  readonly entitlements: readonly string[];
  /** TOML texts for the daemon of our own, each with the name of its param. */
  readonly daemonConfig: readonly { readonly subject: string; readonly text: string }[];
}

/** Daemons that can be used, with a private folder for what passes between us and them. */
export interface Builder extends AsyncDisposable {
  readonly pool: EnginePool;
  /** For buildctl, which hands credentials to the daemon as it asks for them. */
  readonly registries: RegistryFiles;
  readonly authTls: readonly AuthTlsContext[];
  readonly cache: LayerCache;
  readonly workspace: string;
}

/** Concourse gives each container an empty folder of the worker's disk here; layers on it can be overlays. */
const stateParents = ["/scratch", "/var/lib", "/tmp"];

/**
 * Opens the way to BuildKit. Disposing ends a daemon that was started here, with all its processes and mounts,
 * and removes its state and the private folder.
 * @throws UserError when no build can work here
 */
export async function openBuilder(options: BuilderOptions): Promise<Builder> {
  const { step, access, cache } = options;
  await using opened = new AsyncDisposableStack();
  const { path: workspace } = opened.use(await createPrivateFolder("build"));
  const registries = await writeRegistryFiles(access, workspace, step.env);
  const pool = opened.use(await openPool(options, workspace, registries));
  const owned = opened.move();
  return {
    pool,
    registries,
    authTls: authTlsContexts(access, registries),
    cache,
    workspace,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function openPool(
  options: BuilderOptions,
  workspace: string,
  registries: RegistryFiles,
): Promise<EnginePool> {
  const { step, daemons, cache, subject } = options;
  if (daemons.kind === "nodes") return openNodes(daemons.nodes, { step, workspace, subject });
  if (daemons.kind === "farm") return openFarm(daemons.farm, { step, workspace, subject });
  if (daemons.kind === "remote") {
    const engine = await reachRemoteDaemon(daemons.remote, { step, workspace, name: "remote" });
    const problem = await engine.diagnose();
    if (problem !== undefined) throw new UserError(problem);
    return poolOf(engine);
  }
  const cacheEnv = await cacheEnvironment(cache, workspace);
  return poolOf(
    await startLocalDaemon({
      step,
      workspace,
      stateParents,
      entitlements: options.entitlements,
      registries: registryBlocks(options.access, registries),
      extra: options.daemonConfig,
      sandbox: daemons.sandbox,
      env: daemonEnvironment(step, registries, { cacheEnv, workspace }),
    }),
  );
}
