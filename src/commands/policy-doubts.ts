import { placedRules, type SourcePolicy } from "../builder/plan/source-policy.ts";
import { doubtOf } from "../request/policy-identifiers.ts";

/** What is odd about the rules of a policy, each with the places of the rules. It causes warnings, not errors. Pure. */
export function policyDoubts(policy: SourcePolicy): readonly string[] {
  const rules = placedRules(policy);
  const bare = rules.filter(({ rule }) => rule.action === undefined).map(({ place }) => place);
  const odd = rules.flatMap(({ place, rule: { selector } }) => {
    const doubt = doubtOf(selector.identifier, selector.match_type ?? "WILDCARD");
    return doubt === undefined ? [] : [`${place}: ${doubt}`];
  });
  return [
    ...(bare.length === 0
      ? []
      : [
          `${bare.join(", ")}: there is no action, which BuildKit takes for ALLOW: write ALLOW, DENY or CONVERT`,
        ]),
    ...odd,
  ];
}
