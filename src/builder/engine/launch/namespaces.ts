/**
 * unshare(1) and the arguments that make a program the first process of a PID namespace, with its own mounts and
 * /proc. When it ends for any reason, the kernel ends every other process and every mount of the namespaces.
 */
export const inNamespaces = [
  "unshare",
  "--pid",
  "--fork",
  "--kill-child=KILL",
  "--mount",
  "--mount-proc",
  "--",
] as const;

/** What a container lacks that BuildKit expects, and that the launch provides. */
export interface Needs {
  /** A cgroup filesystem, without which runc starts nothing. Concourse's guardian runtime doesn't mount one. */
  readonly cgroups: boolean;
  /** runc may neither set a host name nor make a session keyring, as in Concourse's fuse-only mode up to 8.2.5. */
  readonly runcShim: boolean;
}

/**
 * Mounts a cgroup filesystem, then executes the command. It is cgroup version 2, which every kernel has, also
 * beside version 1.
 */
export function withCgroups(command: readonly string[]): readonly string[] {
  return ["sh", "-c", 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"', "sh", ...command];
}
