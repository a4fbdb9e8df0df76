import { readFile } from "node:fs/promises";
import { UserError } from "../../host/errors.ts";

/** CAP_SYS_ADMIN, capabilities(7): without it nothing can be mounted, and every RUN needs mounts. */
const sysAdmin = 1n << 21n;

/**
 * Checks, before a daemon is started, that it could do its work here. Concourse's unprivileged containers have a
 * user namespace and lack CAP_SYS_ADMIN; buildkitd starts in them, but each solve would fail at its first mount.
 * @throws UserError naming the ways out
 */
export async function requirePrivileges(): Promise<void> {
  const [status, uidMap] = await Promise.all([
    readFile("/proc/self/status", "utf8"),
    readFile("/proc/self/uid_map", "utf8"),
  ]);
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`);
  const inUserNamespace = !/^\s*0\s+0\s+4294967295\s*$/.test(uidMap);
  if (effective & sysAdmin && !inUserNamespace) return;
  const found = inUserNamespace
    ? "this container is unprivileged (it has a user namespace)"
    : "this process lacks CAP_SYS_ADMIN";
  throw new UserError(
    `${found}, so a BuildKit of its own can't mount anything here. Either set "privileged: true" on the resource type (or the task), or name a BuildKit that runs elsewhere: "buildkit: {address: tcp://…}" in the source`,
  );
}
