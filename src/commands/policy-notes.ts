import type { BuildOptions } from "../builder/plan/build-options.ts";
import { idleConversions, placedRules } from "../builder/plan/source-policy.ts";
import type { Solved } from "../builder/solve/solve-all.ts";
import type { StepContext } from "../host/step-context.ts";
import { meantOnHub } from "../request/policy-identifiers.ts";

type PolicyOption = Pick<BuildOptions, "sourcePolicy">;

/** Warns of rules whose author may have meant another action, or other images, than they have. */
export function warnOfPolicy({ sourcePolicy }: PolicyOption, { log }: Pick<StepContext, "log">): void {
  if (sourcePolicy === undefined) return;
  const rules = placedRules(sourcePolicy);
  const bare = rules.filter(({ rule }) => rule.action === undefined);
  if (bare.length > 0)
    log.warn(
      `source_policy: ${bare.map(({ place }) => place).join(", ")}: there is no action, which BuildKit takes for ALLOW: write ALLOW, DENY or CONVERT`,
    );
  for (const { place, rule } of rules) {
    const { identifier, match_type: type = "WILDCARD" } = rule.selector;
    const meant = meantOnHub(identifier, type);
    if (meant !== undefined)
      log.warn(
        `source_policy: ${place}: ${identifier} is for registries with such a name; for images of Docker Hub write ${meant}`,
      );
  }
}

/** Says in the log which rules of the policy should have pinned an image of this build, but matched none. */
export function noteIdleRules(
  { sourcePolicy }: PolicyOption,
  { images, lookedUp }: Pick<Solved, "images" | "lookedUp">,
  { log }: Pick<StepContext, "log">,
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
  log.line(`source_policy: no image of this build matches ${rules}; ${asked}`);
}
