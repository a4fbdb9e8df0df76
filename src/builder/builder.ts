import { createPrivateFolder } from "../host/private-folder.ts";
import type { StepContext } from "../host/step-context.ts";
import type { RegistryAccess } from "../registry/access.ts";
import { type RegistryFiles, writeRegistryFiles } from "../registry/registry-files.ts";
import { cacheEnvironment } from "./cache-credentials.ts";
import { type Farm, openFarm } from "./engine/farm.ts";
import { startLocalDaemon } from "./engine/local-daemon.ts";
import { type Nodes, openNodes } from "./engine/nodes.ts";
import { type EnginePool, poolOf } from "./engine/pool.ts";
import { authTlsContexts, registryBlocks } from "./engine/registry-blocks.ts";
import { type RemoteBuildKit, reachRemoteDaemon } from "./engine/remote-daemon.ts";
import type { Sandbox } from "./engine/sandbox.ts";
import type { AttributePairs } from "./plan/csv.ts";
import type { LayerCache } from "./plan/layer-cache.ts";
import { daemonEnvironment, type SpanSource } from "./program-environment.ts";

/** The BuildKit daemons to build with. */
export type Daemons =
  /** A daemon that the step starts. */
  | { readonly kind: "own"; readonly sandbox: Sandbox }
  /** A daemon that runs elsewhere. */
  | { readonly kind: "remote"; readonly remote: RemoteBuildKit }
  /** Several daemons elsewhere, each for its own platforms. */
  | { readonly kind: "nodes"; readonly nodes: Nodes }
  /** Several daemons behind one host name. */
  | { readonly kind: "farm"; readonly farm: Farm };

export interface BuilderOptions {
  readonly step: StepContext;
  readonly access: RegistryAccess;
  readonly daemons: Daemons;
  readonly cache: LayerCache;
  /** The repository or directory that is built. It decides the order in which nodes are tried. */
  readonly subject: string;
  /** Entitlements that a daemon started by the step must permit. */
  readonly entitlements: readonly string[];
  /** TOML texts for the configuration of a daemon started by the step, each with the name of its param. */
  readonly daemonConfig: readonly { readonly subject: string; readonly text: string }[];
}

/** Daemons that can be used, with a private folder for the files of the build. */
export interface Builder extends AsyncDisposable {
  readonly pool: EnginePool;
  /** For buildctl, which passes credentials to the daemon when the daemon asks for them. */
  readonly registries: RegistryFiles;
  /** The attributes of each `--registry-auth-tlscontext` of buildctl. */
  readonly authTls: readonly AttributePairs[];
  readonly cache: LayerCache;
  readonly spanSource: SpanSource;
  readonly workspace: string;
}

/**
 * Parent folders for a daemon's state, best first. In each container Concourse mounts an empty folder of the
 * worker's disk at /scratch, on which overlays can be mounted.
 */
const stateParents = ["/scratch", "/var/lib", "/tmp"];

/**
 * Starts BuildKit or connects to it. Disposing ends a daemon that was started here, with all its processes and
 * mounts, and removes its state and the private folder.
 * @throws UserError if no build can work here
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
    spanSource: options.daemons.kind === "own" ? "daemon" : "buildctl",
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
    return poolOf(await reachRemoteDaemon(daemons.remote, { step, workspace, name: "remote" }));
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
      sendsSpans: step.spansUrl !== undefined,
    }),
  );
}
