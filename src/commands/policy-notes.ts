import type { BuildOptions } from "../builder/plan/build-options.ts";
import { idleConversions } from "../builder/plan/source-policy.ts";
import type { Solved } from "../builder/solve/solve-all.ts";
import type { StepContext } from "../host/step-context.ts";
import { policyDoubts } from "./policy-doubts.ts";

type PolicyOption = Pick<BuildOptions, "sourcePolicy">;

/** Warns of rules whose author may have meant another action, or other images, than they have. */
export function warnOfPolicy(
  { sourcePolicy }: PolicyOption,
  { log, names }: Pick<StepContext, "log" | "names">,
): void {
  if (sourcePolicy === undefined) return;
  for (const doubt of policyDoubts(sourcePolicy)) log.warn(`${names.param("source_policy")}: ${doubt}`);
}

/** Says in the log which rules of the policy should have pinned an image of this build, but matched none. */
export function noteIdleRules(
  { sourcePolicy }: PolicyOption,
  { images, lookedUp }: Pick<Solved, "images" | "lookedUp">,
  { log, names: author }: Pick<StepContext, "log" | "names">,
): void {
  if (sourcePolicy === undefined) return;
  const names = [...lookedUp, ...images.map(({ name, digest }) => `${name}@${digest}`)];
  const idle = idleConversions(
    sourcePolicy,
    names.map((name) => `docker-image://${name}`),
  );
  if (idle.length === 0) return;
  const rules = idle.map(({ place, rule }) => `${place} (CONVERT ${rule.selector.identifier})`).join(", ");
  const asked = lookedUp.length === 0 ? "it looked up none" : `it looked up ${lookedUp.join(", ")}`;
  log.line(`${author.param("source_policy")}: no image of this build matches ${rules}; ${asked}`);
}
