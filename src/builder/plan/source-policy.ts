import type { GoExpression } from "../../host/go-expression.ts";

/**
 * Rules on what a build may fetch (BuildKit, sourcepolicy/pb/policy.proto). A source is named by a URL:
 * `docker-image://docker.io/library/alpine:3.22`, `https://…`, `git://…`, `local://context`.
 */
export interface SourcePolicy {
  readonly rules: readonly PolicyRule[];
  /** The expressions of the rules with `match_type: REGEX`, by their texts. */
  readonly expressions?: ReadonlyMap<string, GoExpression>;
}

export interface PolicyRule {
  /** Without one it is an ALLOW: BuildKit's encoding leaves out the first of an enumeration. */
  readonly action?: "ALLOW" | "DENY" | "CONVERT" | undefined;
  readonly selector: {
    readonly identifier: string;
    readonly match_type?: "WILDCARD" | "EXACT" | "REGEX" | undefined;
    readonly constraints?: readonly object[] | undefined;
  };
  /** What a CONVERT puts in the source's place. */
  readonly updates?: { readonly identifier?: string | undefined } | undefined;
}

/** A rule, with its place in the policy. */
export interface PlacedRule {
  readonly rule: PolicyRule;
  /** `rules.0` for the first. */
  readonly place: string;
}

/**
 * The rule by which BuildKit refuses a source: of the rules that match it, the last ALLOW or DENY decides. Pure.
 * @returns undefined if none seems to match
 */
export function refusingRule(policy: SourcePolicy, source: string): PlacedRule | undefined {
  const matching = placedRules(policy).filter(
    ({ rule }) => rule.action !== "CONVERT" && matches(policy, rule, source),
  );
  const last = matching.at(-1);
  return last?.rule.action === "DENY" ? last : undefined;
}

/** The rule by which BuildKit puts something else in the place of a source: the first CONVERT that matches. Pure. */
export function convertingRule(policy: SourcePolicy, source: string): PlacedRule | undefined {
  return placedRules(policy).find(({ rule }) => rule.action === "CONVERT" && matches(policy, rule, source));
}

/** The rules of a policy, in their order. Pure. */
export function placedRules({ rules }: SourcePolicy): readonly PlacedRule[] {
  return rules.map((rule, index) => ({ rule, place: `rules.${index}` }));
}

/**
 * The CONVERT rules for images that match nothing that a build has looked up, so that they pin nothing. Pure.
 * @param sources as they were named before any rule: `docker-image://docker.io/library/alpine:3.22`
 */
export function idleConversions(policy: SourcePolicy, sources: readonly string[]): readonly PlacedRule[] {
  const conversions = placedRules(policy).filter(({ rule }) => rule.action === "CONVERT");
  const seen = new Set(sources);
  // A set's iteration also visits what is added meanwhile. BuildKit gives up after 20 conversions of one source.
  for (const source of seen) {
    if (seen.size > sources.length * (maxConversions + 1)) break;
    for (const { rule } of conversions)
      if (matches(policy, rule, source)) seen.add(convertedBy(policy, rule, source));
  }
  return conversions.filter(
    ({ rule }) => isForImages(rule) && ![...seen].some((source) => matches(policy, rule, source)),
  );
}

/** BuildKit, sourcepolicy/engine.go. */
const maxConversions = 20;

function isForImages({ selector: { identifier } }: PolicyRule): boolean {
  return /^\^?docker-image:\/\//.test(identifier);
}

/** What a CONVERT makes of a source that it matches. `$1` or `${1}` stands for what the first wildcard or group took. */
function convertedBy(
  { expressions }: SourcePolicy,
  { selector: { identifier, match_type: type }, updates }: PolicyRule,
  source: string,
): string {
  const to = updates?.identifier;
  if (to === undefined) return source;
  if (type === "REGEX") return expressions?.get(identifier)?.replace(source, to) ?? to;
  return source.replace(wildcardPattern(identifier), to.replaceAll(/\$\{(\d+)\}/g, "$$$1"));
}

/** Constraints are taken to be met: a source's attributes are not known here. */
function matches(
  { expressions }: SourcePolicy,
  { selector: { identifier, match_type: type = "WILDCARD" } }: PolicyRule,
  source: string,
): boolean {
  if (identifier === source) return true;
  if (type === "EXACT") return false;
  if (type === "REGEX") return expressions?.get(identifier)?.test(source) === true;
  return wildcardPattern(identifier).test(source);
}

/** A regular expression with a group for each wildcard. */
function wildcardPattern(identifier: string): RegExp {
  const literal = identifier.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${literal.replaceAll("*", "(.*)")}$`);
}
