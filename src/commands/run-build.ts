import { openBuilder } from "../builder/builder.ts";
import { pruneCache } from "../builder/engine/prune.ts";
import type { RemoteBuildKit } from "../builder/engine/remote-daemon.ts";
import type { InputFolder } from "../builder/inputs/input-folder.ts";
import { resolveInputs } from "../builder/inputs/resolve-inputs.ts";
import type { BuildOptions } from "../builder/options.ts";
import { planBuild } from "../builder/plan.ts";
import { type SolveResult, solveAll } from "../builder/solve.ts";
import { concurrently } from "../host/concurrently.ts";
import type { Host } from "../host/host.ts";
import { createPrivateFolder } from "../host/private-folder.ts";
import type { RegistryAccess } from "../image/registry-access.ts";
import { mirrorName } from "../request/source.ts";
import type { Stage, Store } from "../store/store.ts";

/** Bytes of cache that are kept for later runs. */
const keptLimit = 20e9;

export interface RunBuild {
  readonly host: Host;
  readonly options: BuildOptions;
  readonly folder: InputFolder;
  readonly access: RegistryAccess;
  readonly remote: RemoteBuildKit | undefined;
  /** TOML for a daemon of our own, from the source. */
  readonly buildkitConfig: string | undefined;
  /** Keeps the daemon's state, and so its layer cache, for later runs. */
  readonly keptState: string | undefined;
  readonly store: Store;
}

/** What a build gave, in a stage of the store: committed by the caller, or read from there. */
export interface RanBuild extends AsyncDisposable {
  readonly stage: Stage;
  readonly results: [SolveResult, ...SolveResult[]];
}

/**
 * Builds every target into a stage of the store. The daemon has ended when this returns; the stage is the caller's.
 * @throws UserError for whatever in options, inputs, Dockerfile or surroundings stands in the way
 */
export async function runBuild(run: RunBuild): Promise<RanBuild> {
  const { host, options, store } = run;
  await using held = new AsyncDisposableStack();
  await using tools = new AsyncDisposableStack();
  const { path: workspace } = tools.use(await createPrivateFolder("inputs"));
  // The daemon needs a moment to start: inputs are read and the store is tried meanwhile.
  const [builder, inputs] = await concurrently(host.signal, [
    async (signal) => tools.use(await openBuilder(builderOptions(run, { ...host, signal }))),
    (signal) =>
      resolveInputs({
        options,
        folder: run.folder,
        workspace,
        platforms: options.platforms,
        env: host.env,
        signal,
      }),
    (signal) => store.prepare(signal),
  ]);
  const stage = held.use(await store.stage(host.signal));
  host.log.line(`building with ${builder.engine.where}`);
  const results = await solveAll({
    host,
    builder,
    plan: planBuild(options, inputs),
    dockerfile: inputs.dockerfile,
    style: options.progress,
    exporter: (target) => stage.exporter(target),
  });
  if (run.keptState !== undefined) await pruneCache(builder.engine, keptLimit, host);
  const owned = held.move();
  return { stage, results, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function builderOptions(run: RunBuild, host: Host): Parameters<typeof openBuilder>[0] {
  const { options } = run;
  const texts = { buildkit_config: run.buildkitConfig, buildkit_extra_config: options.buildkitExtraConfig };
  return {
    host,
    access: withMirrors(run.access, options.registryMirrors),
    remote: run.remote,
    entitlements: options.allow,
    daemonConfig: Object.entries(texts).flatMap(([subject, text]) =>
      text === undefined ? [] : [{ subject, text }],
    ),
    keptState: run.keptState,
  };
}

function withMirrors(access: RegistryAccess, mirrors: readonly string[]): RegistryAccess {
  if (mirrors.length === 0) return access;
  const hosts = new Map(access.hosts);
  const names = mirrors.map((mirror) => mirrorName(mirror, hosts));
  const known = hosts.get("docker.io");
  hosts.set("docker.io", { ...known, mirrors: [...names, ...(known?.mirrors ?? [])] });
  return { ...access, hosts };
}
