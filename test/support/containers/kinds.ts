import concourse from "./concourse.json" with { type: "json" };

/**
 * The containers in which a Concourse worker runs steps.
 *
 * - `full`: a privileged step of a worker in the default mode.
 * - `fuse-only`: a privileged step of a worker in that mode; `fuse-only-released` as Concourse 7.13 to 8.2.5 have it.
 * - `unprivileged-on-fuse-only`: any other step of such a worker.
 * - `operator-profile`: a step without privileges, on a worker with the seccomp profile of docs/without-privileges.md.
 * - `unprivileged`: a step without privileges; `unprivileged-before-8` on a worker before Concourse 8.0.
 * - `guardian`, `guardian-unprivileged`: steps of a worker with the guardian runtime, which mounts no cgroups, and
 *   has a profile of its own.
 */
export type ContainerKind =
  | "full"
  | "fuse-only"
  | "fuse-only-released"
  | "unprivileged-on-fuse-only"
  | "operator-profile"
  | "unprivileged"
  | "unprivileged-before-8"
  | "guardian"
  | "guardian-unprivileged";

/** What the kinds differ in. */
export interface Rights {
  readonly capabilities: readonly string[];
  /** Root is the host's last user id but one, and the container has a user namespace. */
  readonly isMapped: boolean;
  /** System calls that its seccomp profile allows; undefined without a profile. */
  readonly systemCalls: SystemCalls | undefined;
  readonly fuse: "none" | "bind" | "node";
  readonly cgroups: "none" | "ro" | "rw";
}

interface SystemCalls {
  readonly allowed: readonly string[];
  /** `all` lets clone make namespaces, `processes` only processes and threads. */
  readonly clone: "all" | "processes";
  /** setns for mount namespaces alone. */
  readonly setns: boolean;
  /**
   * Whether the profile itself says that clone3 doesn't exist, as programs expect that may not use it. Without that,
   * runc says so of every system call that is newer than the newest of the profile.
   */
  readonly denysClone3: boolean;
}

/** What the operator's profile of docs/without-privileges.md adds to Concourse's own. */
export const operatorsCalls = [
  "clone",
  "unshare",
  "mount",
  "umount2",
  "pivot_root",
  "keyctl",
  "sethostname",
] as const;

const { base, guardianLacks, fuse, unprivilegedCaps, fuseOnlyCaps, privilegedCaps } = concourse;

const without = (names: readonly string[], ...less: readonly string[]): string[] =>
  names.filter((name) => !less.includes(name));

const plain: SystemCalls = { allowed: base, clone: "processes", setns: false, denysClone3: true };
const ofFuseOnly: SystemCalls = {
  allowed: [...base, ...fuse],
  clone: "all",
  setns: true,
  denysClone3: false,
};

const unprivileged: Rights = {
  capabilities: unprivilegedCaps,
  isMapped: true,
  systemCalls: plain,
  fuse: "none",
  cgroups: "ro",
};
const full: Rights = {
  capabilities: privilegedCaps,
  isMapped: false,
  systemCalls: undefined,
  fuse: "node",
  cgroups: "rw",
};

export const rightsOf: Readonly<Record<ContainerKind, Rights>> = {
  full,
  "fuse-only": { ...unprivileged, capabilities: fuseOnlyCaps, systemCalls: ofFuseOnly, fuse: "bind" },
  "fuse-only-released": {
    ...unprivileged,
    capabilities: fuseOnlyCaps,
    systemCalls: {
      allowed: without([...base, ...fuse], "keyctl", "sethostname"),
      clone: "all",
      setns: false,
      denysClone3: false,
    },
    fuse: "bind",
  },
  "unprivileged-on-fuse-only": { ...unprivileged, systemCalls: ofFuseOnly },
  "operator-profile": {
    ...unprivileged,
    systemCalls: { allowed: [...base, ...operatorsCalls], clone: "all", setns: false, denysClone3: true },
  },
  unprivileged,
  "unprivileged-before-8": { ...unprivileged, systemCalls: { ...plain, allowed: without(base, "ptrace") } },
  guardian: { ...full, cgroups: "none" },
  "guardian-unprivileged": {
    ...unprivileged,
    systemCalls: {
      allowed: without(base, ...guardianLacks),
      clone: "processes",
      setns: false,
      denysClone3: false,
    },
    cgroups: "none",
  },
};
