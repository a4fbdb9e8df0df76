import type { AuthorNames } from "../../../host/author-names.ts";
import { UserError } from "../../../host/errors.ts";
import type { Launcher, Refusal } from "./launcher.ts";

/** How BuildKit runs, for the log, after "a BuildKit of its own". */
export const launcherNames: Readonly<Record<Launcher["kind"], string>> = {
  direct: "with this container's privileges",
  "user-namespace": "in a user namespace",
  gvisor: "in a gVisor sandbox",
};

/**
 * The error if BuildKit can't be started in this container. It names what was tried, and every way out.
 * @param refusals without one of gVisor if the author forbids it
 */
export function noLauncher(refusals: readonly Refusal[], names: AuthorNames): UserError {
  const isTask = names.kind === "task";
  const auto = isTask ? '"SANDBOX: auto"' : '"sandbox: auto" in the source';
  const tried = refusals.map(({ kind, reason }) => `${launcherNames[kind]}: ${reason}`).join("; ");
  const ofGvisor = refusals.find(({ kind }) => kind === "gvisor");
  const gvisor =
    ofGvisor === undefined
      ? `${auto} instead of "none", which forbids gVisor`
      : (ofGvisor.remedy ?? "Concourse 8.0 or newer on the worker, where gVisor works");
  // Nothing else was tried because the author asks for gVisor, so nothing else helps as long as they do.
  const instead = refusals.every(({ kind }) => kind === "gvisor")
    ? `or, with ${auto} instead of "gvisor": `
    : "";
  const elsewhere = isTask ? "a resource's source, and a put instead of the task" : "the source";
  return new UserError(
    `this container doesn't allow what building images needs; tried to start BuildKit ${tried}. Any of these helps: ${gvisor}; ${instead}"privileged: true" on the resource type (or the task); a worker with CONCOURSE_CONTAINERD_PRIVILEGED_MODE=fuse-only; or a BuildKit that runs elsewhere: "buildkit: {address: tcp://…}" in ${elsewhere}. docs/without-privileges.md compares them`,
  );
}
