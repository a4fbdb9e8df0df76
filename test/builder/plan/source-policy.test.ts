import assert from "node:assert/strict";
import { test } from "node:test";
import {
  convertingRule,
  idleConversions,
  type PolicyRule,
  refusingRule,
  type SourcePolicy,
} from "../../../src/builder/plan/source-policy.ts";
import { compileGoExpression } from "../../../src/host/go-expression.ts";

const source = "docker-image://registry.example/base:1";

function rule(
  action: PolicyRule["action"],
  identifier: string,
  match_type?: PolicyRule["selector"]["match_type"],
): PolicyRule {
  return { action, selector: { identifier, match_type } };
}

function policyOf(...rules: readonly PolicyRule[]): SourcePolicy {
  const texts = rules.map(({ selector }) => selector).filter(({ match_type: type }) => type === "REGEX");
  const expressions = texts.map(({ identifier }) => {
    const compiled = compileGoExpression(identifier);
    if (typeof compiled === "string") throw new Error(compiled);
    return [identifier, compiled] as const;
  });
  return { rules, expressions: new Map(expressions) };
}

test("of the rules that match a source the last ALLOW or DENY decides", () => {
  const all = rule("DENY", "*");
  const allowed = rule("ALLOW", "docker-image://registry.example/*");
  assert.equal(refusingRule(policyOf(all, allowed), source), undefined);
  assert.deepEqual(refusingRule(policyOf(allowed, all), source), { rule: all, place: "rules.1" });
  assert.deepEqual(refusingRule(policyOf(all, rule("ALLOW", "git://*")), source), {
    rule: all,
    place: "rules.0",
  });
  assert.deepEqual(
    refusingRule(policyOf(rule("CONVERT", "*"), all, rule("CONVERT", "*")), source)?.place,
    "rules.1",
  );
  assert.equal(refusingRule(policyOf(), source), undefined);
});

test("a selector matches as in BuildKit: a * any text, EXACT the whole, REGEX any part", () => {
  const matching = [
    rule("DENY", source),
    rule("DENY", "docker-image://*"),
    rule("DENY", "*/base:*"),
    rule("DENY", source, "EXACT"),
    rule("DENY", "example/b.se", "REGEX"),
    // Of Go alone.
    rule("DENY", "(?P<name>base)", "REGEX"),
    rule("DENY", "(?i)REGISTRY\\.example/\\Qbase:\\E[[:digit:]]\\z", "REGEX"),
  ];
  const others = [
    rule("DENY", "docker-image://registry"),
    rule("DENY", "docker-image://registry?example/*"),
    rule("DENY", "docker-image://registry.example/b.se:1"),
    rule("DENY", "docker-image://*", "EXACT"),
    rule("DENY", "^base", "REGEX"),
  ];
  for (const one of matching)
    assert.notEqual(refusingRule(policyOf(one), source), undefined, JSON.stringify(one));
  for (const one of others) assert.equal(refusingRule(policyOf(one), source), undefined, JSON.stringify(one));
});

test("the first CONVERT that matches converts", () => {
  const first = rule("CONVERT", "docker-image://*");
  const rules = policyOf(rule("CONVERT", "git://*"), first, rule("CONVERT", "*"));
  assert.deepEqual(convertingRule(rules, source), { rule: first, place: "rules.1" });
  assert.equal(convertingRule(policyOf(rule("DENY", "*")), source), undefined);
});

const image = (name: string) => `docker-image://registry.example/${name}`;
const idle = (sources: readonly string[], ...rules: readonly PolicyRule[]) =>
  idleConversions(policyOf(...rules), sources).map(({ place }) => place);

test("a CONVERT is idle if it matches no image that was looked up, nor what another makes of one", () => {
  const convert = (from: string, to: string, type?: PolicyRule["selector"]["match_type"]): PolicyRule => ({
    ...rule("CONVERT", from, type),
    updates: { identifier: to },
  });
  const pin = convert(image("base:1"), image("base:1@sha256:0"));
  assert.deepEqual(idle([source], pin), []);
  assert.deepEqual(idle([image("base:2")], rule("DENY", "*"), pin), ["rules.1"]);
  assert.deepEqual(idle([], pin), ["rules.0"]);
  // A chain, with what a wildcard and a group took.
  const wildcard = convert(image("*:1"), image(`mirror/\${1}:1`));
  const group = convert("^docker-image://registry.example/mirror/(b.*)$", image("x-$1"), "REGEX");
  const last = convert(image("x-base:1"), image("y:1"));
  // Go takes $1x for the group "1x", which there isn't.
  const joined = convert("^docker-image://(?P<host>[^/]+)/(.*)$", `docker-image://\${host}/$2x-$2`, "REGEX");
  assert.deepEqual(idle([source], joined, convert(image("-base:1"), image("y:1"))), []);
  assert.deepEqual(idle([source], wildcard, group, last), []);
  assert.deepEqual(idle([image("base:2")], wildcard, group, last), ["rules.0", "rules.1", "rules.2"]);
  // A rule that leads to itself.
  assert.deepEqual(idle([source], convert(image("*"), image(`a/\${1}`))), []);
  // Other sources are not known.
  assert.deepEqual(
    idle([source], convert("git://example/*", "git://other"), convert("*", "git://other")),
    [],
  );
});
