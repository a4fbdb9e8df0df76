import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeSmallFile } from "../../../host/atomic-write.ts";
import type { Environment } from "../../../host/step-context.ts";
import type { Refusal } from "./launcher.ts";

/**
 * runsc's flags. Without privileges runsc makes no namespaces and no root filesystem of its own. So the boundary to
 * the worker is this container, and gVisor only adds a kernel that allows mounts. Inside it runc isolates each RUN.
 */
const runtimeFlags = [
  "--TESTONLY-unsafe-nonroot=true",
  "--network=host",
  "--ignore-cgroups",
  "--overlay2=none",
  "--allow-suid",
  "--net-raw",
  // buildkitd's socket must be reachable from outside the sandbox.
  "--host-uds=all",
];

/**
 * Limits the sandbox to the capabilities of an unprivileged step, even in a privileged container. A program that
 * breaks out of gVisor then has no others either, and gVisor doesn't attempt what only a fully privileged container
 * can complete.
 */
const withoutPrivileges = [
  "setpriv",
  `--bounding-set=-all,${[
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "mknod",
    "net_bind_service",
    "net_raw",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_chroot",
  ]
    .map((name) => `+${name}`)
    .join(",")}`,
  "--inh-caps=-all",
  "--",
] as const;

/**
 * Makes the sandbox what the kernel ends first when the step is out of memory (proc_pid_oom_score_adj(5)). Its
 * programs' memory belongs to several of its processes, so that each looks small, and ending one frees nothing.
 */
const endedFirst = ["choom", "-n", "1000", "--"] as const;

/** What a daemon's sandbox is made from. */
export interface GvisorDaemon {
  /** A private folder of the step, for the sandbox's own files. */
  readonly workspace: string;
  /** BuildKit's state folder. */
  readonly root: string;
  readonly env: Environment;
  readonly command: readonly string[];
}

/**
 * A command, and the text for its standard input. The text holds the environment variables, which may contain
 * secrets and so are not written to a file.
 */
export interface GvisorCommand {
  readonly command: readonly [string, ...string[]];
  readonly input: string;
}

/** Writes the sandbox's bundle (OCI runtime-spec). It is part of the workspace, and is removed with it. */
export async function prepareSandbox(daemon: GvisorDaemon): Promise<GvisorCommand> {
  const bundle = join(daemon.workspace, "sandbox");
  await mkdir(bundle, { mode: 0o700 });
  await mkdir(runscState(daemon), { mode: 0o700 });
  await writeSmallFile(join(bundle, "config.json"), JSON.stringify(sandboxConfig(daemon)), { mode: 0o600 });
  return {
    command: [
      ...endedFirst,
      ...withoutPrivileges,
      "runsc",
      ...runtimeFlags,
      `--root=${runscState(daemon)}`,
      "run",
      "--bundle",
      bundle,
      sandboxName,
    ],
    input: exports(daemon.env),
  };
}

/**
 * The command that sends SIGTERM to the daemon of a sandbox by {@link prepareSandbox}. `runsc run` itself passes no
 * signal on.
 */
export function endInSandbox(daemon: Pick<GvisorDaemon, "workspace">): readonly [string, ...string[]] {
  return ["runsc", ...runtimeFlags, `--root=${runscState(daemon)}`, "kill", sandboxName, "TERM"];
}

const sandboxName = "buildkitd";

/** Where runsc keeps what it knows of its sandbox. */
function runscState({ workspace }: Pick<GvisorDaemon, "workspace">): string {
  return join(workspace, "sandbox-state");
}

/** The kernel's setting of Yama's (ptrace(2)): who may trace which process. There is none without Yama. */
const scopeFile = "/proc/sys/kernel/yama/ptrace_scope";

/**
 * Finds in the end of the log why the sandbox itself didn't start. Undefined if it started, and the daemon in it
 * failed.
 */
export async function sandboxRefusal(lastWords: string): Promise<Refusal | undefined> {
  return refusalOf(lastWords, await readFile(scopeFile, "utf8").catch(() => undefined));
}

/**
 * {@link sandboxRefusal}, for a kernel with this setting.
 * @param scope what the setting's file says; undefined without one
 */
export function refusalOf(lastWords: string, scope: string | undefined): Refusal | undefined {
  const reason = sandboxProblem(lastWords);
  if (reason !== noPtrace) return reason === undefined ? undefined : { kind: "gvisor", reason };
  const level = Number(scope);
  // From 2 on the one who traces needs CAP_SYS_PTRACE, which the sandbox doesn't get, and with 3 nobody may trace.
  if (scope === undefined || !(level >= 2)) return { kind: "gvisor", reason };
  return {
    kind: "gvisor",
    reason: `the worker's kernel.yama.ptrace_scope is ${level}, which forbids ptrace(2)`,
    remedy: "kernel.yama.ptrace_scope 0 or 1 on the worker, where gVisor works",
  };
}

const noPtrace = "this container doesn't allow ptrace(2)";

function sandboxProblem(lastWords: string): string | undefined {
  if (/failed to execute runsc/.test(lastWords))
    return "runsc is not on PATH; the resource's own image has it";
  const [, words] = /^\s*(?:running|starting|creating) container: (.*)$/m.exec(lastWords) ?? [];
  if (words === undefined) return undefined;
  if (/waiting for sandbox to start: EOF/.test(words)) return noPtrace;
  return words;
}

/** The environment variables as shell commands. Names that a shell doesn't allow are left out. */
function exports(env: Environment): string {
  const lines = Object.entries(env).flatMap(([name, value]) =>
    value === undefined || !/^[A-Za-z_]\w*$/.test(name)
      ? []
      : [`export ${name}='${value.replaceAll("'", `'\\''`)}'\n`],
  );
  return lines.join("");
}

function sandboxConfig({ root, command, env }: GvisorDaemon): unknown {
  const sets = ["bounding", "effective", "permitted", "inheritable"];
  const path = `PATH=${env["PATH"] ?? ""}`;
  return {
    ociVersion: "1.0.0",
    hostname: "buildkitd",
    root: { path: "/" },
    process: {
      user: { uid: 0, gid: 0 },
      cwd: "/",
      env: [path],
      // The daemon is the sandbox's first process: the sandbox ends with it, and a signal to the sandbox is one to it.
      args: ["sh", "-c", 'eval "$(cat)" && exec "$@" </dev/null', "sh", ...command],
      capabilities: Object.fromEntries(sets.map((set) => [set, capabilities])),
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 1048576, hard: 1048576 }],
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/dev/pts", type: "devpts", source: "devpts" },
      { destination: "/run", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/sys", type: "sysfs", source: "sysfs" },
      // runc requires a cgroup filesystem, but sets no limits in it.
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["rw"] },
      { destination: root, type: "bind", source: root, options: ["rbind", "rw"] },
    ],
    // The state folder is a gVisor tmpfs that is backed by a file in that folder. It supports all attributes and
    // device nodes, and uses the disk instead of memory.
    annotations: Object.fromEntries(
      Object.entries({ source: root, type: "tmpfs", share: "container", options: "rw" }).map(
        ([key, value]) => [`dev.gvisor.spec.mount.state.${key}`, value],
      ),
    ),
    linux: { namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })) },
  };
}

/** Capabilities inside gVisor's kernel (capabilities(7)). They give no rights on the worker. */
const capabilities = [
  "AUDIT_CONTROL",
  "AUDIT_READ",
  "AUDIT_WRITE",
  "BLOCK_SUSPEND",
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "IPC_LOCK",
  "IPC_OWNER",
  "KILL",
  "LEASE",
  "LINUX_IMMUTABLE",
  "MAC_ADMIN",
  "MAC_OVERRIDE",
  "MKNOD",
  "NET_ADMIN",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_RAW",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYSLOG",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_CHROOT",
  "SYS_MODULE",
  "SYS_NICE",
  "SYS_PACCT",
  "SYS_PTRACE",
  "SYS_RAWIO",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "WAKE_ALARM",
].map((name) => `CAP_${name}`);
