import type { Host } from "../host/host.ts";
import { createPrivateFolder } from "../host/private-folder.ts";
import type { RegistryAccess } from "../image/registry-access.ts";
import type { Engine } from "./engine/engine.ts";
import { startLocalDaemon } from "./engine/local-daemon.ts";
import { type RegistryFiles, writeRegistryFiles } from "./engine/registry-files.ts";
import { type RemoteBuildKit, reachRemoteDaemon } from "./engine/remote-daemon.ts";

/** Where to build: a daemon elsewhere, else one that the step starts. */
export interface BuilderOptions {
  readonly host: Host;
  readonly access: RegistryAccess;
  readonly remote: RemoteBuildKit | undefined;
  /** Entitlements that the daemon of our own has to permit. */
  readonly entitlements: readonly string[];
  /** TOML texts for the daemon of our own, each with the name of its param. */
  readonly daemonConfig: readonly { readonly subject: string; readonly text: string }[];
  /** A folder that keeps the daemon's state for later runs (a task's cache). */
  readonly keptState: string | undefined;
}

/** An engine that is ready, with a private folder for what passes between us and it. */
export interface Builder extends AsyncDisposable {
  readonly engine: Engine;
  readonly registries: RegistryFiles;
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
  const { host, access, remote } = options;
  await using opened = new AsyncDisposableStack();
  const { path: workspace } = opened.use(await createPrivateFolder("build"));
  const registries = await writeRegistryFiles(access, workspace, host.env);
  const engine =
    remote === undefined
      ? await startLocalDaemon({
          host,
          workspace,
          state: options.keptState === undefined ? { parents: stateParents } : { kept: options.keptState },
          entitlements: options.entitlements,
          registries: registries.blocks,
          extra: options.daemonConfig,
          // The daemon leaves sockets of ssh agents in its folder for temporary files.
          env: { ...registries.env, ...unlimitedLogs, TMPDIR: workspace },
        })
      : await reachRemoteDaemon(remote, { host, workspace, name: "remote" });
  opened.use(engine);
  const owned = opened.move();
  return { engine, registries, workspace, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** BuildKit cuts a step's log at 2 MiB unless told otherwise, and the error is what stands at its end. */
const unlimitedLogs = { BUILDKIT_STEP_LOG_MAX_SIZE: "-1", BUILDKIT_STEP_LOG_MAX_SPEED: "-1" };
