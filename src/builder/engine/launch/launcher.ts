import type { StepContext } from "../../../host/step-context.ts";
import { gvisorLimits, type Limits } from "../limits.ts";
import type { Sandbox } from "../sandbox.ts";
import type { Needs } from "./namespaces.ts";
import { probeNamespaces } from "./probe.ts";

/**
 * How buildkitd is started, which depends on what this container allows.
 *
 * - `direct`: in new namespaces, which this process is allowed to make.
 * - `user-namespace`: the same inside a new user namespace, whose root is allowed to make them.
 * - `gvisor`: in a gVisor sandbox, whose kernel allows what this container doesn't.
 */
export type Launcher =
  | { readonly kind: "direct" | "user-namespace"; readonly needs: Needs; readonly limits: Limits }
  | { readonly kind: "gvisor"; readonly limits: Limits };

/** Why a launcher can't be used. It is reported if none can. */
export interface Refusal {
  readonly kind: Launcher["kind"];
  readonly reason: string;
  /** What would let the launcher work, if it isn't what usually does. */
  readonly remedy?: string;
}

/**
 * Finds out what this container allows by trying it, which takes milliseconds. gVisor isn't tried: if it is the
 * only launcher left, its start shows whether it works.
 * @returns the launcher, and why the ones before it can't be used; `launcher` is undefined if `sandbox` forbids the
 * only one left
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
      // A privileged step in fuse-only mode is allowed to mount, but no more. In a user namespace it has all rights
      // that a RUN may need.
      if (found.limits.ownNetworks) return { launcher, refusals };
      limited ??= launcher;
    }
    if (limited !== undefined) return { launcher: limited, refusals };
  }
  return { launcher: sandbox === "none" ? undefined : { kind: "gvisor", limits: gvisorLimits }, refusals };
}
