import { access, constants, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { writeSmallFile } from "../../host/atomic-write.ts";
import { type ChildExit, describeExit, startChild } from "../../host/child.ts";
import { UserError } from "../../host/errors.ts";
import { limitIn } from "../../host/process-limits.ts";
import { removeFolder } from "../../host/remove-folder.ts";
import { settlesBefore } from "../../host/settles-before.ts";
import type { StepContext } from "../../host/step-context.ts";
import { type DaemonConfig, daemonConfig, ignoredConfig } from "./daemon-config.ts";
import type { Engine } from "./engine.ts";
import { sandboxRefusal } from "./launch/gvisor.ts";
import { launchDaemon } from "./launch/launch-daemon.ts";
import { chooseLauncher, type Launcher } from "./launch/launcher.ts";
import { launcherNames, noLauncher } from "./launch/no-launcher.ts";
import { runcShim } from "./launch/runc-shim.ts";
import { LogTail } from "./log-tail.ts";
import { checkProgramVersions, whatToInstall } from "./program-versions.ts";
import type { Sandbox } from "./sandbox.ts";

export interface LocalDaemon extends Pick<DaemonConfig, "entitlements" | "registries" | "extra"> {
  readonly step: StepContext;
  /** A private folder for the socket and the configuration. */
  readonly workspace: string;
  /** The daemon's state goes into a new folder in the first of these folders that is writable. */
  readonly stateParents: readonly string[];
  readonly env: StepContext["env"];
  readonly sandbox: Sandbox;
  /** Whether its environment says where to send spans. */
  readonly sendsSpans: boolean;
}

/** Milliseconds. A daemon on a busy worker needs a few seconds to open its databases. */
const startDeadline = 60_000;
const stopDeadline = 5_000;

/**
 * Starts a buildkitd that this step owns, by the first launcher that this container allows. It has its own state,
 * socket and configuration, and its own PID and mount namespaces. When it ends for any reason, the kernel ends
 * every process and mount of every RUN with it.
 *
 * It also ends when this process ends: by a parent-death signal, or, if this process died before unshare(1) had
 * asked for that signal, by SIGPIPE at the first line of its log.
 * @throws UserError if this container allows no launcher, if buildkitd is missing or too old, or if it ends before
 * it listens
 */
export async function startLocalDaemon(options: LocalDaemon): Promise<Engine> {
  const { step, workspace } = options;
  const { launcher, refusals } = await chooseLauncher(step, options.sandbox);
  if (launcher === undefined) throw noLauncher(refusals, step.names);
  await using started = new AsyncDisposableStack();
  const root = await stateFolder(options, started);
  const socket = join(workspace, "buildkitd.sock");
  checkSocket(socket);
  for (const warning of ignoredConfig(options)) step.log.warn(warning);
  const config = await writeConfig(options, { launcher, root, socket });
  const log = new LogTail(64 * 1024);
  const command = ["buildkitd", "--config", config] as const;
  const write = (bytes: Buffer) => log.write(bytes);
  const { env, sendsSpans } = options;
  const daemon = started.use(
    await launchDaemon({ step, launcher, workspace, root, env, command: [...command], write, sendsSpans }),
  );
  const endOfLog = () => {
    const words = log.tail(20).replace(unshareCantFollow, "");
    return words.trim() === "" ? "" : `; the end of its log:\n${words}`;
  };
  const died = () => {
    const limit = limitIn(log.tail(20));
    const how = wayOfDaemonsEnding(launcher.kind, daemon.exit(), log.tail(1));
    return `buildkitd ${how}${limit === undefined ? "" : `: ${limit}`}${endOfLog()}`;
  };
  const asking = new AbortController();
  const programs = checkProgramVersions(env, asking.signal);
  started.defer(async () => {
    asking.abort();
    await programs;
  });
  await log.until(/running server on/, {
    signal: step.signal,
    deadline: startDeadline,
    stopped: daemon.exited.then(async () => {
      const refusal = launcher.kind === "gvisor" ? await sandboxRefusal(log.tail(20)) : undefined;
      if (refusal !== undefined) throw noLauncher([...refusals, refusal], step.names);
      throw new UserError(daemon.exit()?.exitCode === 127 ? missing(log.tail(1).trim()) : died());
    }),
    late: () => `buildkitd is not ready after ${startDeadline / 1000} s${endOfLog()}`,
  });
  const { buildkitd, runc, problem } = await programs;
  if (problem !== undefined) throw new UserError(problem);
  const owned = started.move();
  return {
    where: `a BuildKit of its own, ${launcherNames[launcher.kind]}`,
    version: () => buildkitd,
    runc,
    provesLayers: true,
    connection: ["--addr", `unix://${socket}`],
    limited: { limits: launcher.limits, where: launcherNames[launcher.kind] },
    folders: [root],
    accepts: async () => undefined,
    async diagnose() {
      if (daemon.exit() !== undefined) return died();
      if (await answers(socket, step)) return undefined;
      // A client notices the daemon's death before the daemon's parent does.
      await settlesBefore(daemon.exited, AbortSignal.any([step.signal, AbortSignal.timeout(stopDeadline)]));
      step.signal.throwIfAborted();
      return daemon.exit() === undefined ? `buildkitd no longer answers${endOfLog()}` : died();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Bytes of the longest path of a socket (unix(7)), without what containerd keeps free. */
const longestSocket = 106;

/** What the address of a socket, which buildctl reads as a URL, can't have in its path. */
const notInAddresses = /[\p{Cc}#%?]/u;

/** @throws UserError if buildkitd can't listen there, or buildctl can't reach it */
function checkSocket(path: string): void {
  const found =
    Buffer.byteLength(path) > longestSocket
      ? `${JSON.stringify(path)} has ${Buffer.byteLength(path)} bytes, and the path of a socket may have ${longestSocket}`
      : notInAddresses.test(path)
        ? `${JSON.stringify(path)} holds "#", "%", "?" or a control character, which the address of a socket can't have`
        : undefined;
  if (found === undefined) return;
  throw new UserError(
    `BuildKit's socket can't be in the folder for temporary files: ${found}; let TMPDIR name another folder, such as /tmp`,
  );
}

/** Writes the daemon's configuration, and the program that replaces runc if the launcher needs it. */
async function writeConfig(
  { workspace, entitlements, registries, extra }: LocalDaemon,
  { launcher, root, socket }: { launcher: Launcher; root: string; socket: string },
): Promise<string> {
  const shim = join(workspace, "runc");
  const needsShim = launcher.kind !== "gvisor" && launcher.needs.runcShim;
  if (needsShim) await writeSmallFile(shim, runcShim, { mode: 0o700 });
  const tracesSocket = join(workspace, "traces.sock");
  const toml = daemonConfig({
    root,
    socket,
    tracesSocket,
    entitlements,
    registries,
    extra,
    ...(needsShim ? { runcShim: shim } : {}),
  });
  const config = join(workspace, "buildkitd.toml");
  await writeSmallFile(config, toml, { mode: 0o600 });
  return config;
}

async function answers(socket: string, step: StepContext): Promise<boolean> {
  const question = ["--addr", `unix://${socket}`, "--timeout", "5", "debug", "info"];
  const options = { reject: false, timeout: stopDeadline, stdout: "ignore" } as const;
  return (await startChild(step, "buildctl", question, options)).exitCode === 0;
}

/** unshare(1) ends in the same way as its child, but can't send itself SIGKILL. It then prints this line last. */
const unshareCantFollow = /^\s*unshare: sigprocmask unblock failed.*$/m;

/** runsc's status when its sandbox was ended by SIGKILL: 128 and the signal's number. */
const killedSandbox = 137;

function wayOfDaemonsEnding(kind: Launcher["kind"], exit: ChildExit | undefined, lastWords: string): string {
  const isKilled =
    unshareCantFollow.test(lastWords) || (kind === "gvisor" && exit?.exitCode === killedSandbox);
  return describeExit(isKilled ? { signal: "SIGKILL" } : (exit ?? {}));
}

function missing(said: string): string {
  return `buildkitd can't be started: ${said || "it is not on PATH"}. ${whatToInstall}`;
}

async function stateFolder(
  { stateParents, step }: LocalDaemon,
  started: AsyncDisposableStack,
): Promise<string> {
  for (const parent of stateParents) {
    const usable = await access(parent, constants.W_OK).then(
      () => true,
      () => false,
    );
    if (!usable) continue;
    const folder = await mkdtemp(join(parent, "oci-build-state-"));
    started.defer(() => removeFolder(step, folder));
    return folder;
  }
  throw new UserError(`no folder for BuildKit's state: none of ${stateParents.join(", ")} can be written`);
}
