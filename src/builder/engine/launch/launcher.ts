import type { StepContext } from "../../../host/step-context.ts";
import { gvisorLimits, type Limits } from "../limits.ts";
import type { Sandbox } from "../sandbox.ts";
import type { Needs } from "./namespaces.ts";
import { probeNamespaces } from "./probe.ts";

/**
 * How buildkitd is started, which depends on what this container allows.
 *
 * - `direct`: in namespaces that this process may make.
 * - `user-namespace`: the same, inside a new user namespace, whose root may.
 * - `gvisor`: in a sandbox of gVisor's, whose kernel allows what this container's doesn't.
 */
export type Launcher =
  | { readonly kind: "direct" | "user-namespace"; readonly needs: Needs; readonly limits: Limits }
  | { readonly kind: "gvisor"; readonly limits: Limits };

/** Why a launcher can't be used, to be told when none can. */
export interface Refusal {
  readonly kind: Launcher["kind"];
  readonly reason: string;
}

/**
 * Finds out by trying, in milliseconds, what this container allows. gVisor isn't tried: where it is what remains, its
 * start shows whether it works.
 * @returns with the launcher, why those before it can't be used; `launcher` is undefined when `sandbox` forbids what
 *   would remain
 */
export async function chooseLauncher(
  step: StepContext,
  sandbox: Sandbox,
): Promise<{ readonly launcher: Launcher | undefined; readonly refusals: readonly Refusal[] }> {
  const refusals: Refusal[] = [];
  if (sandbox !== "gvisor") {
    let limited: Launcher | undefined;
    for (const kind of ["direct", "user-namespace"] as const) {
      const found = await probeNamespaces(step, kind);
      if ("refusal" in found) {
        refusals.push({ kind, reason: found.refusal });
        continue;
      }
      const launcher = { kind, ...found };
      // A privileged step in fuse-only mode may mount, but no more; in a user namespace it may all that a RUN can want.
      if (found.limits.ownNetworks) return { launcher, refusals };
      limited ??= launcher;
    }
    if (limited !== undefined) return { launcher: limited, refusals };
  }
  return { launcher: sandbox === "none" ? undefined : { kind: "gvisor", limits: gvisorLimits }, refusals };
}
