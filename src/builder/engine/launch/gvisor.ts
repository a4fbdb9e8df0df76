import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeSmallFile } from "../../../host/atomic-write.ts";
import type { Environment } from "../../../host/step-context.ts";
import { inNamespaces } from "./namespaces.ts";

/**
 * How runsc runs here: without privileges it makes no namespaces and no root of its own, so the boundary to the worker
 * is this container, and what gVisor adds is a kernel that may mount. runc isolates each RUN in there.
 */
const runtimeFlags = [
  "--TESTONLY-unsafe-nonroot=true",
  "--network=host",
  "--ignore-cgroups",
  "--overlay2=none",
  "--allow-suid",
  "--net-raw",
  // buildkitd's socket is to be met from outside.
  "--host-uds=all",
];

/**
 * In a privileged container too, the sandbox gets no more rights than a step without privileges has: whoever breaks out
 * of gVisor has no others either, and gVisor doesn't begin what only a privileged one can go through with.
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

/** What the sandbox of a daemon is made from. */
export interface GvisorDaemon {
  /** A private folder of the step's, where the sandbox's own files go. */
  readonly workspace: string;
  /** BuildKit's state folder. */
  readonly root: string;
  readonly env: Environment;
  readonly command: readonly string[];
}

/** A command to start, and what to write to its standard input: variables may hold secrets, and no file does. */
export interface GvisorCommand {
  readonly command: readonly [string, ...string[]];
  readonly input: string;
}

/** Writes the sandbox's bundle (OCI runtime-spec). It is part of the workspace, and goes with it. */
export async function prepareSandbox(daemon: GvisorDaemon): Promise<GvisorCommand> {
  const bundle = join(daemon.workspace, "sandbox");
  const state = join(daemon.workspace, "sandbox-state");
  await mkdir(bundle, { mode: 0o700 });
  await mkdir(state, { mode: 0o700 });
  await writeSmallFile(join(bundle, "config.json"), JSON.stringify(sandboxConfig(daemon)), { mode: 0o600 });
  return {
    command: [
      ...withoutPrivileges,
      "runsc",
      ...runtimeFlags,
      `--root=${state}`,
      "run",
      "--bundle",
      bundle,
      "buildkitd",
    ],
    input: exports(daemon.env),
  };
}

/**
 * Why the sandbox itself didn't start, from the last words of the log; undefined when it did, and what failed is the
 * daemon in it.
 */
export function sandboxRefusal(lastWords: string): string | undefined {
  if (/failed to execute runsc/.test(lastWords))
    return "runsc is not on PATH; the resource's own image has it";
  const [, words] = /^\s*(?:running|starting|creating) container: (.*)$/m.exec(lastWords) ?? [];
  if (words === undefined) return undefined;
  return /waiting for sandbox to start: EOF/.test(words) ? "this container doesn't allow ptrace(2)" : words;
}

/** The variables as a shell reads them; it can't have others. */
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
      args: ["sh", "-c", 'eval "$(cat)" && exec "$@" </dev/null', "sh", ...inNamespaces, ...command],
      capabilities: Object.fromEntries(sets.map((set) => [set, capabilities])),
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 1048576, hard: 1048576 }],
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/dev/pts", type: "devpts", source: "devpts" },
      { destination: "/run", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/sys", type: "sysfs", source: "sysfs" },
      // runc looks for one, and limits nothing by it.
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["rw"] },
      { destination: root, type: "bind", source: root, options: ["rbind", "rw"] },
    ],
    // The state folder is a tmpfs of gVisor's with a file of that folder behind it: it has all attributes and device
    // nodes, and takes room on the disk instead of in memory.
    annotations: Object.fromEntries(
      Object.entries({ source: root, type: "tmpfs", share: "container", options: "rw" }).map(
        ([key, value]) => [`dev.gvisor.spec.mount.state.${key}`, value],
      ),
    ),
    linux: { namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })) },
  };
}

/** Those of gVisor's kernel, which are none of the worker's (capabilities(7)). */
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
