import { access, constants, mkdtemp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeSmallFile } from "../../host/atomic-write.ts";
import { type ChildExit, describeExit, signalProcess, startChild } from "../../host/child.ts";
import { UserError } from "../../host/errors.ts";
import { removeFolder } from "../../host/remove-folder.ts";
import { settles } from "../../host/settles.ts";
import type { StepContext } from "../../host/step-context.ts";
import { type DaemonConfig, daemonConfig } from "./daemon-config.ts";
import type { Engine } from "./engine.ts";
import { LogTail } from "./log-tail.ts";
import { requirePrivileges } from "./privileges.ts";
import { oldVersion } from "./version.ts";

export interface LocalDaemon extends Pick<DaemonConfig, "entitlements" | "registries" | "extra"> {
  readonly step: StepContext;
  /** A private folder for the socket and the configuration. */
  readonly workspace: string;
  /** The daemon's state goes into a fresh folder, made under the first of these that can be written. */
  readonly stateParents: readonly string[];
  readonly env: StepContext["env"];
}

/** Milliseconds. A daemon on a busy worker needs a few seconds to open its databases. */
const startDeadline = 60_000;
const stopDeadline = 5_000;
/** A process that the kernel holds in a call for the disk ends late; after an abort there is less time. */
const killDeadline = 30_000;

/**
 * Starts a buildkitd that this step owns: own state, own socket, own configuration, alone in a PID and a mount
 * namespace. When it ends, however it ends, the kernel ends every process and mount of every RUN with it. It ends
 * with this process: by a parent-death signal, or, where that came before unshare(1) had asked for it, by SIGPIPE at
 * the first line of its log.
 * @throws UserError when this container may not mount, when buildkitd is missing or too old, or when it ends before it
 *   listens
 */
export async function startLocalDaemon(options: LocalDaemon): Promise<Engine> {
  const { step, workspace } = options;
  await requirePrivileges();
  await using started = new AsyncDisposableStack();
  const root = await stateFolder(options, started);
  const socket = join(workspace, "buildkitd.sock");
  const config = join(workspace, "buildkitd.toml");
  const toml = daemonConfig({
    root,
    socket,
    tracesSocket: join(workspace, "traces.sock"),
    entitlements: options.entitlements,
    registries: options.registries,
    extra: options.extra,
  });
  await writeSmallFile(config, toml, { mode: 0o600 });

  const log = new LogTail(64 * 1024);
  const ended = new AbortController();
  const namespace = ["--pid", "--fork", "--kill-child=KILL", "--mount", "--mount-proc"];
  const child = startChild(
    { env: options.env, signal: ended.signal },
    "unshare",
    [...namespace, "--", "buildkitd", "--config", config],
    // A process group of its own, to be ended as one.
    { stdout: "ignore", buffer: false, reject: false, env: options.env, detached: true },
  );
  let exit: ChildExit | undefined;
  const exited = child.then((result) => {
    exit = result;
    return result;
  });
  const endOfLog = () => {
    const words = log.tail(20).replace(unshareCantFollow, "");
    return words.trim() === "" ? "" : `; the end of its log:\n${words}`;
  };
  const died = () => `buildkitd ${wayOfDaemonsEnding(exit, log.tail(1))}${endOfLog()}`;
  started.defer(() => stop(step, child.pid, exited));
  child.stderr.on("data", (bytes: Buffer) => log.write(bytes));

  const asking = new AbortController();
  const tooOld = tellOldVersion(options.env, asking.signal);
  started.defer(async () => {
    asking.abort();
    await tooOld;
  });
  await log.until(/running server on/, {
    signal: step.signal,
    deadline: startDeadline,
    stopped: exited.then(() => {
      throw new UserError(exit?.exitCode === 127 ? missing(log.tail(1)) : died());
    }),
    late: () => `buildkitd does not listen after ${startDeadline / 1000} s${endOfLog()}`,
  });
  const old = await tooOld;
  if (old !== undefined) throw new UserError(old);
  const owned = started.move();
  return {
    where: "a BuildKit of its own",
    connection: ["--addr", `unix://${socket}`],
    folders: [root],
    async diagnose() {
      if (exit !== undefined) return died();
      if (await answers(socket, step)) return undefined;
      // A client hears of a daemon's death before its parent does.
      await settles(exited, AbortSignal.any([step.signal, AbortSignal.timeout(stopDeadline)]));
      step.signal.throwIfAborted();
      return exit === undefined ? `buildkitd no longer answers${endOfLog()}` : died();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Asks the program, which costs no time beside a daemon that starts. */
async function tellOldVersion(env: StepContext["env"], signal: AbortSignal): Promise<string | undefined> {
  const options = { reject: false, timeout: stopDeadline } as const;
  const { stdout } = await startChild({ env, signal }, "buildkitd", ["--version"], options);
  const old = oldVersion(stdout);
  return old === undefined ? undefined : `buildkitd ${old}: use the resource's own image, or install it`;
}

async function answers(socket: string, step: StepContext): Promise<boolean> {
  const question = ["--addr", `unix://${socket}`, "--timeout", "5", "debug", "info"];
  const options = { reject: false, timeout: stopDeadline, stdout: "ignore" } as const;
  return (await startChild(step, "buildctl", question, options)).exitCode === 0;
}

/** unshare(1) ends as its child did, but can't give itself SIGKILL: it fails at that, and says so last of all. */
const unshareCantFollow = /^\s*unshare: sigprocmask unblock failed.*$/m;

function wayOfDaemonsEnding(exit: ChildExit | undefined, lastWords: string): string {
  return describeExit(unshareCantFollow.test(lastWords) ? { signal: "SIGKILL" } : (exit ?? {}));
}

function missing(said: string): string {
  return `buildkitd can't be started: ${said || "it is not on PATH"}. Use the resource's own image, or install BuildKit 0.28.1 or newer`;
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

/**
 * Ends the daemon and waits until nothing of it is left. The namespace's first process is buildkitd; when it is
 * gone the kernel has ended all others in there (pid_namespaces(7)), and then unshare(1) ends.
 */
async function stop(step: StepContext, pid: number | undefined, exited: Promise<unknown>): Promise<void> {
  if (pid === undefined) return;
  // Nothing of its state is used again, so nothing has to be closed in order. Where there is no first process yet, the
  // group's signal also ends the one that unshare(1) may make at this very moment, and which nobody would wait for.
  signalProcess(step, (await firstChild(pid)) ?? -pid, "SIGKILL");
  const limit = AbortSignal.any([step.late, AbortSignal.timeout(killDeadline)]);
  if (await settles(exited, limit)) return;
  step.log.warn(`buildkitd (process ${pid}) has not ended after SIGKILL: it ends with this container`);
}

async function firstChild(pid: number): Promise<number | undefined> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  const [child] = children.trim().split(" ").filter(Boolean);
  return child === undefined ? undefined : Number(child);
}
