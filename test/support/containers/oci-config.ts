import { readFileSync } from "node:fs";
import { execaSync } from "execa";
import { type ContainerKind, type Rights, rightsOf } from "./kinds.ts";

/** A folder of the machine that the container sees at a place of its own. */
export interface Bind {
  readonly from: string;
  readonly to: string;
}

/** The user and group id that root of a mapped container has on the machine: the last but one (baggageclaim, uidgid). */
export const mappedRoot = 4294967294;

/** The environment of every process, as a worker sets it for an image that sets none. */
export const containerEnvironment = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  USER: "root",
} as const;

const hidden = ["nosuid", "noexec", "nodev"];

/** What this machine can give; a virtual machine or a container may itself lack some of what `full` has. */
const grantable = new Set(
  execaSync("capsh", [
    `--decode=${/^CapBnd:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`,
  ])
    .stdout.split("=")[1]
    ?.split(",")
    .map((name) => name.toUpperCase()),
);

export interface ContainerShape {
  readonly rootfs: string;
  readonly binds: readonly Bind[];
  /** The command of its first process. */
  readonly init: readonly string[];
  /** Bytes that all its processes may use together, as a task's `container_limits` sets. */
  readonly memoryLimit: number | undefined;
}

/** A container of this kind as an OCI runtime takes it (runtime-spec, config.md); names and numbers are Concourse's. */
export function ociConfig(
  kind: ContainerKind,
  { rootfs, binds, init, memoryLimit }: ContainerShape,
): Readonly<Record<string, unknown>> {
  const rights = rightsOf[kind];
  const namespaces = [
    "pid",
    "ipc",
    "uts",
    "mount",
    "network",
    "cgroup",
    ...(rights.isMapped ? ["user"] : []),
  ];
  const ids = [
    { containerID: 0, hostID: mappedRoot, size: 1 },
    { containerID: 1, hostID: 1, size: mappedRoot - 1 },
  ];
  return {
    ociVersion: "1.2.0",
    hostname: "step",
    root: { path: rootfs },
    process: containerProcess(kind, { args: init, env: [], cwd: "/" }),
    mounts: mounts(rights, binds),
    linux: {
      namespaces: namespaces.map((type) => ({ type })),
      ...(rights.isMapped ? { uidMappings: ids, gidMappings: ids } : {}),
      resources: {
        devices: deviceRules(rights),
        ...(memoryLimit === undefined ? {} : { memory: { limit: memoryLimit, swap: memoryLimit } }),
      },
      devices:
        rights.fuse === "node"
          ? [{ path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o666 }]
          : [],
      ...(rights.systemCalls === undefined ? {} : { seccomp: seccomp(rights.systemCalls) }),
    },
  };
}

/** A process of such a container. */
export function containerProcess(
  kind: ContainerKind,
  { args, env, cwd }: { args: readonly string[]; env: readonly string[]; cwd: string },
): Readonly<Record<string, unknown>> {
  const capabilities = rightsOf[kind].capabilities.filter((name) => grantable.has(name));
  const sets = ["bounding", "effective", "permitted", "inheritable"];
  const given = Object.entries(containerEnvironment).map(([name, value]) => `${name}=${value}`);
  return {
    user: { uid: 0, gid: 0 },
    args,
    env: [...given, ...env],
    cwd,
    capabilities: Object.fromEntries(sets.map((set) => [set, capabilities])),
  };
}

function mounts({ cgroups, fuse }: Rights, binds: readonly Bind[]): unknown[] {
  const sys = cgroups === "rw" ? hidden : [...hidden, "ro"];
  const bind = ({ from, to }: Bind) => ({
    destination: to,
    type: "bind",
    source: from,
    options: ["bind", "rw"],
  });
  return [
    { destination: "/proc", type: "proc", source: "proc", options: hidden },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...hidden, "mode=1777"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: hidden },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: sys },
    ...(cgroups === "none"
      ? []
      : [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: sys }]),
    ...(fuse === "bind" ? [bind({ from: "/dev/fuse", to: "/dev/fuse" })] : []),
    ...binds.map(bind),
  ];
}

const character = (major: number, minor: number) => ({
  allow: true,
  type: "c",
  major,
  minor,
  access: "rwm",
});

function deviceRules({ systemCalls }: Rights): unknown[] {
  const any = ["c", "b"].map((type) => ({ allow: true, type, access: "m" }));
  const known = [3, 5, 7, 8, 9].map((minor) => character(1, minor));
  // A privileged container may use what devices it makes.
  if (systemCalls === undefined) return [{ allow: true, access: "rwm" }];
  return [
    { allow: false, access: "rwm" },
    ...any,
    ...known,
    character(5, 0),
    character(5, 1),
    character(5, 2),
    { allow: true, type: "c", major: 136, access: "rwm" },
    character(10, 200),
    character(10, 229),
  ];
}

const enosys = 38;
/** The CLONE_NEW flags of clone(2). */
const namespaceFlags = 2080505856;
const newMountNamespace = 0x20000;

const allow = (names: readonly string[], ...args: readonly unknown[]) => ({
  names,
  action: "SCMP_ACT_ALLOW",
  ...(args.length === 0 ? {} : { args }),
});

const isEqual = (value: number) => ({ index: 0, value, op: "SCMP_CMP_EQ" });

function seccomp({ allowed, clone, setns, denysClone3 }: NonNullable<Rights["systemCalls"]>): unknown {
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    syscalls: [
      allow(allowed),
      ...[0, 8, 0xffffffff].map((value) => allow(["personality"], isEqual(value))),
      ...(clone === "all"
        ? []
        : [allow(["clone"], { index: 0, value: namespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" })]),
      ...(setns ? [allow(["setns"], { index: 1, value: newMountNamespace, op: "SCMP_CMP_EQ" })] : []),
      ...(denysClone3 ? [{ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: enosys }] : []),
    ],
  };
}
