import type { StepContext } from "../../../host/step-context.ts";
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
  | { readonly kind: "direct" | "user-namespace"; readonly needs: Needs }
  | { readonly kind: "gvisor" };

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
    for (const kind of ["direct", "user-namespace"] as const) {
      const found = await probeNamespaces(step, kind);
      if ("needs" in found) return { launcher: { kind, needs: found.needs }, refusals };
      refusals.push({ kind, reason: found.refusal });
    }
  }
  return { launcher: sandbox === "none" ? undefined : { kind: "gvisor" }, refusals };
}
