import { startChild } from "../../../host/child.ts";
import type { StepContext } from "../../../host/step-context.ts";
import type { Limits } from "../limits.ts";
import { inNamespaces, type Needs } from "./namespaces.ts";
import { inUserNamespace, writeIdMaps } from "./user-namespace.ts";

/** Milliseconds. The probe itself takes a few. */
const deadline = 10_000;

/**
 * Tries what buildkitd and runc do first, namespaces and mounts, and then the setting of a host name. A seccomp
 * profile that refuses the host name refuses keyctl(2) too. Prints a word for each missing feature. `network` means
 * that CAP_NET_ADMIN (12 in capabilities(7)) is missing, without which runc can't set up a network.
 */
const script = `mount -t tmpfs tmpfs /tmp || exit 1
mknod /tmp/null c 1 3 2>/dev/null || echo devices
grep -q ' - cgroup2\\? ' /proc/self/mountinfo || echo cgroups
unshare --uts hostname probe 2>/dev/null || echo shim
caps=$(sed -n 's/^CapEff:[[:space:]]*/0x/p' /proc/self/status)
[ $((caps >> 12 & 1)) = 1 ] || echo network`;

/** Tries namespaces and mounts, in this user namespace or in a new one. */
export async function probeNamespaces(
  step: StepContext,
  kind: "direct" | "user-namespace",
): Promise<{ readonly needs: Needs; readonly limits: Limits } | { readonly refusal: string }> {
  const command = [...inNamespaces, "sh", "-c", script];
  const [file, ...args] = kind === "direct" ? (command as [string, ...string[]]) : inUserNamespace(command);
  const options = { reject: false, timeout: deadline, stdin: "pipe", stdout: "pipe" } as const;
  const child = startChild(step, file, args, options);
  if (kind === "user-namespace") await writeIdMaps(child);
  const { exitCode, stdout, stderr } = await child;
  step.signal.throwIfAborted();
  if (exitCode !== 0)
    return { refusal: stderr.trim().split("\n").at(-1) || `the trial ended with status ${exitCode}` };
  const missing = new Set(stdout.split("\n"));
  return {
    needs: { cgroups: missing.has("cgroups"), runcShim: missing.has("shim") },
    limits: {
      ownNetworks: !missing.has("network"),
      deviceNodes: !missing.has("devices"),
      // The network belongs to the namespace around the new one.
      networkRights: kind === "direct",
      foreignPrograms: true,
      // In a user namespace BuildKit uses none: the files of control groups belong to the worker's root.
      controlGroups: kind === "direct",
      hostNames: !missing.has("shim"),
      tellsFullDisks: true,
    },
  };
}
