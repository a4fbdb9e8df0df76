import { convertingRule, type PlacedRule, refusingRule } from "../plan/source-policy.ts";
import type { BuildDescription } from "./build-description.ts";

/**
 * Explains which rule of the source policy refuses a source, and what to change. Returns undefined for any other
 * failure. Pure.
 */
export function explainPolicy(reason: string, { sourcePolicy, names }: BuildDescription): string | undefined {
  const [, source] = /source "([^"]+)" denied by policy/.exec(reason) ?? [];
  if (source === undefined) return undefined;
  // Without a policy of the step it is one of a daemon elsewhere.
  if (sourcePolicy === undefined)
    return `${describeSource(source)} is refused by a source policy of BuildKit's own`;
  const [, named] = /failed to resolve source metadata for (\S+): /.exec(reason) ?? [];
  const policy = names.param("source_policy");
  const original = named === undefined ? undefined : `docker-image://${named}`;
  const converted =
    original === undefined || original === source
      ? undefined
      : conversion(convertingRule(sourcePolicy, original), original, policy);
  const rule = refusingRule(sourcePolicy, source);
  const by = rule === undefined ? policy : `${rule.place} of ${policy} (${formatRule(rule)})`;
  return `${describeSource(source)}${converted ?? ""} is refused by ${by}; ${remedyFor(source)}`;
}

/** What a message about an image that can't be pulled lacks, if the policy has put another in its place. Pure. */
export function explainConversion(reason: string, { sourcePolicy, names }: BuildDescription): string {
  const [, named] = /failed to resolve source metadata for (\S+): /.exec(reason) ?? [];
  if (sourcePolicy === undefined || named === undefined) return "";
  const original = `docker-image://${named}`;
  return conversion(convertingRule(sourcePolicy, original), original, names.param("source_policy")) ?? "";
}

function conversion(rule: PlacedRule | undefined, original: string, policy: string): string | undefined {
  if (rule === undefined) return undefined;
  const { identifier } = rule.rule.updates ?? {};
  const by = `${rule.place} of ${policy}`;
  if (identifier === undefined) return ` (${by} changes how ${describeSource(original)} is fetched)`;
  return ` (${by} puts ${identifier} in the place of ${describeSource(original)})`;
}

function formatRule({ rule: { action = "ALLOW", selector } }: PlacedRule): string {
  return `${action} ${selector.identifier}`;
}

function describeSource(source: string): string {
  return source.startsWith("docker-image://")
    ? `image ${source.slice("docker-image://".length)}`
    : `source ${source}`;
}

function remedyFor(source: string): string {
  const [, scheme = ""] = /^([a-z-]+):\/\//.exec(source) ?? [];
  if (scheme === "local" || scheme === "oci-layout")
    return `it is among the step's inputs: add {"action": "ALLOW", "selector": {"identifier": "${scheme}://*"}} behind that rule`;
  if (/^docker-image:\/\/.*@sha256:/.test(source))
    return "BuildKit adds the digest to an image's name once it knows it: a rule that allows the image has to end with a *, or name the digest; else name another image";
  return "name another, or change the policy";
}
