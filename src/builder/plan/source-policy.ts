/**
 * Rules on what a build may fetch (BuildKit, sourcepolicy/pb/policy.proto). A source is named by a URL:
 * `docker-image://docker.io/library/alpine:3.22`, `https://…`, `git://…`, `local://context`.
 */
export interface SourcePolicy {
  readonly rules: readonly PolicyRule[];
}

export interface PolicyRule {
  readonly action: "ALLOW" | "DENY" | "CONVERT";
  readonly selector: {
    readonly identifier: string;
    readonly match_type?: "WILDCARD" | "EXACT" | "REGEX" | undefined;
    readonly constraints?: readonly object[] | undefined;
  };
  /** What a CONVERT puts in the source's place. */
  readonly updates?: { readonly identifier?: string | undefined } | undefined;
}

/** A rule, with its place in the policy. */
export interface NumberedRule {
  readonly rule: PolicyRule;
  /** Counted from 1. */
  readonly number: number;
}

/**
 * The rule by which BuildKit refuses a source: of the rules that match it, the last ALLOW or DENY decides. Pure.
 * @returns undefined if none seems to match, as a regular expression may mean something else in Go
 */
export function refusingRule(policy: SourcePolicy, source: string): NumberedRule | undefined {
  const matching = numbered(policy).filter(({ rule }) => rule.action !== "CONVERT" && matches(rule, source));
  const last = matching.at(-1);
  return last?.rule.action === "DENY" ? last : undefined;
}

/** The rule by which BuildKit puts something else in the place of a source: the first CONVERT that matches. Pure. */
export function convertingRule(policy: SourcePolicy, source: string): NumberedRule | undefined {
  return numbered(policy).find(({ rule }) => rule.action === "CONVERT" && matches(rule, source));
}

function numbered({ rules }: SourcePolicy): readonly NumberedRule[] {
  return rules.map((rule, index) => ({ rule, number: index + 1 }));
}

/** Constraints are taken to be met: a source's attributes are not known here. */
function matches(
  { selector: { identifier, match_type: type = "WILDCARD" } }: PolicyRule,
  source: string,
): boolean {
  if (identifier === source) return true;
  if (type === "EXACT") return false;
  if (type === "REGEX") return matchesPattern(identifier, source);
  const literal = identifier.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&");
  return matchesPattern(`^${literal.replaceAll("*", ".*")}$`, source);
}

function matchesPattern(pattern: string, source: string): boolean {
  try {
    return new RegExp(pattern).test(source);
  } catch {
    return false;
  }
}
