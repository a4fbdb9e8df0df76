/**
 * unshare(1) and its arguments that make a program the first process of a PID namespace, with mounts and a /proc of its
 * own: when it ends, however it ends, the kernel ends every other process and every mount in there.
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

/** What a container lacks that BuildKit takes for granted, and that a launch makes up for. */
export interface Needs {
  /** A cgroup filesystem, without which runc starts nothing; Concourse's guardian runtime mounts none. */
  readonly cgroups: boolean;
  /** runc may set no host name and make no session keyring, as in Concourse's fuse-only mode up to 8.2.5. */
  readonly runcShim: boolean;
}

/**
 * Mounts a cgroup filesystem where there is none, and becomes the command. Of the second version, which every kernel
 * has beside the first.
 */
export function withCgroups(command: readonly string[]): readonly string[] {
  return ["sh", "-c", 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"', "sh", ...command];
}
