import type { ContainerKind } from "../support/containers/kinds.ts";

/** How BuildKit runs. */
export type Launch = "with privileges" | "in a user namespace" | "in gVisor";

/** How it runs in each container, in the order of the tables in docs/without-privileges.md. */
export const launches: Readonly<Record<ContainerKind, Launch | undefined>> = {
  full: "with privileges",
  guardian: "with privileges",
  "fuse-only": "in a user namespace",
  "fuse-only-released": "in a user namespace",
  "unprivileged-on-fuse-only": "in a user namespace",
  "operator-profile": "in a user namespace",
  unprivileged: "in gVisor",
  "guardian-unprivileged": "in gVisor",
  "unprivileged-before-8": undefined,
};

/** The containers in which something can be built. */
export const buildingKinds: readonly (readonly [ContainerKind, Launch])[] = Object.entries(launches).filter(
  (entry): entry is [ContainerKind, Launch] => entry[1] !== undefined,
);

export interface Trial {
  /** Flags of RUN. */
  readonly flags?: string;
  readonly command: string;
  readonly works: readonly Launch[];
}

const everywhere: readonly Launch[] = ["with privileges", "in a user namespace", "in gVisor"];

/** What all containers are tried for in which anything can be built, by ways.ts and resource.containers.ts. */
export const wholeWays: readonly string[] = [
  "A put, a get with `unpack_rootfs`, a task with its cache",
  "Layer caches, cache mounts, several targets, a source policy, `CALL`, `build.json`",
  "Layers equal to those of a privileged step",
  "An abort ends every process within seconds",
];

/** What a RUN can do, as docs/without-privileges.md names it. The base image is busybox's, with `/null` and `/program32`. */
export const trials: Readonly<Record<string, Trial>> = {
  "`RUN mknod` of a device": {
    command: "mknod /new c 1 3 && echo > /new",
    works: ["with privileges", "in gVisor"],
  },
  "Device nodes of a base image, while a RUN runs": {
    command: "test -c /null && echo > /null",
    works: ["with privileges"],
  },
  "32-bit programs": { command: "/program32", works: ["with privileges", "in a user namespace"] },
  "`chown` to the user 4294967294": {
    command: "touch /theirs && chown 4294967294 /theirs",
    works: ["with privileges", "in gVisor"],
  },
  "The worker's kernel (`uname -r`)": {
    command: "! uname -r | grep gvisor",
    works: ["with privileges", "in a user namespace"],
  },
  "`ping`": { command: "ping -c 1 127.0.0.1", works: ["with privileges", "in gVisor"] },
  "Listening on a port below 1024": {
    command: "httpd -p 127.0.0.1:80",
    works: ["with privileges", "in gVisor"],
  },
  "`shm_size`": { command: "df -k /dev/shm | grep ' 10240 '", works: everywhere },
  "`ulimits`": { command: "[ $(ulimit -n) = 1000 ]", works: everywhere },
  "`add_hosts`": { command: "grep '^127.0.0.9.added' /etc/hosts", works: everywhere },
  "`network: host`": { flags: "--network=host", command: "true", works: everywhere },
  "A user namespace (`unshare -U`), which a RUN's seccomp filter forbids": {
    command: "unshare -U true",
    works: [],
  },
  "`security.insecure`: a RUN may mount": {
    flags: "--security=insecure",
    command: "mount -t tmpfs tmpfs /tmp",
    works: everywhere,
  },
  "`security.insecure`: a RUN may write the worker's kernel settings": {
    flags: "--security=insecure",
    // A setting of the worker's kernel, written as it is.
    command: "cp /proc/sys/kernel/core_uses_pid /value && cat /value > /proc/sys/kernel/core_uses_pid",
    works: ["with privileges"],
  },
};

/** Where {@link optionLines} show that `options` limit a RUN, or what is said instead. */
export const limitsOfRun: Readonly<Record<ContainerKind, "kept" | "warned of" | "refused" | undefined>> = {
  full: "kept",
  // It mounts no control groups, and the launch mounts those of version 2, which may have no controllers.
  guardian: "refused",
  "fuse-only": "warned of",
  "fuse-only-released": "warned of",
  "unprivileged-on-fuse-only": "warned of",
  "operator-profile": "warned of",
  unprivileged: "warned of",
  "guardian-unprivileged": "warned of",
  "unprivileged-before-8": undefined,
};

/** Options of RUN, and lines that show whether they have an effect. */
export const runOptions = { memory: "64m", hostname: "given" };
export const optionLines = [
  "RUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | grep -x 67108864 || true",
  "RUN hostname",
];

/** Where a RUN can have a network of its own. */
const ownNetworks: readonly Launch[] = ["with privileges", "in a user namespace"];

export interface NamedFailure {
  readonly line: string;
  readonly works: readonly Launch[];
  readonly told: RegExp;
}

/** What makes a step fail is named, before the build or behind the step's own words. */
export const named: readonly NamedFailure[] = [
  {
    line: "RUN --network=none ! grep -v lo: /proc/net/dev | grep :",
    works: ownNetworks,
    told: /warning: the Dockerfile's RUN --network=none fails here[\s\S]*a RUN can't have a network of its own here/,
  },
  {
    line: 'RUN ["/program32"]',
    works: ["with privileges", "in a user namespace"],
    told: /in a gVisor sandbox, 32-bit programs and those of other architectures don't run here/,
  },
  {
    line: "RUN ping -c 1 127.0.0.1",
    works: ["with privileges", "in gVisor"],
    told: /in a user namespace, raw sockets \(as of ping\) and ports below 1024 can't be opened here/,
  },
  {
    line: "RUN mknod /new c 1 3",
    works: ["with privileges", "in gVisor"],
    told: /in a user namespace, no device node can be made here/,
  },
];

/** The docs' table of containers and features: a row's first cell is the feature, the others are one per container. */
export function matrixRows(): readonly (readonly string[])[] {
  return [
    ...wholeWays.map((name) => row(name, everywhere)),
    row("`network: none`, `RUN --network=none`", ownNetworks),
    ...Object.entries(trials).map(([name, { works }]) => row(name, works)),
  ];
}

function row(name: string, works: readonly Launch[]): readonly string[] {
  const cells = Object.values(launches).map((launch) => launch !== undefined && works.includes(launch));
  return [name, ...cells.map((isWorking) => (isWorking ? "yes" : "no"))];
}
