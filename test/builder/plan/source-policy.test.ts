import assert from "node:assert/strict";
import { test } from "node:test";
import {
  convertingRule,
  type PolicyRule,
  refusingRule,
  type SourcePolicy,
} from "../../../src/builder/plan/source-policy.ts";

const source = "docker-image://registry.example/base:1";

function rule(
  action: PolicyRule["action"],
  identifier: string,
  match_type?: PolicyRule["selector"]["match_type"],
): PolicyRule {
  return { action, selector: { identifier, match_type } };
}

const policyOf = (...rules: readonly PolicyRule[]): SourcePolicy => ({ rules });

test("of the rules that match a source the last ALLOW or DENY decides", () => {
  const all = rule("DENY", "*");
  const allowed = rule("ALLOW", "docker-image://registry.example/*");
  assert.equal(refusingRule(policyOf(all, allowed), source), undefined);
  assert.deepEqual(refusingRule(policyOf(allowed, all), source), { rule: all, number: 2 });
  assert.deepEqual(refusingRule(policyOf(all, rule("ALLOW", "git://*")), source), { rule: all, number: 1 });
  assert.deepEqual(
    refusingRule(policyOf(rule("CONVERT", "*"), all, rule("CONVERT", "*")), source)?.number,
    2,
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
  ];
  const others = [
    rule("DENY", "docker-image://registry"),
    rule("DENY", "docker-image://registry?example/*"),
    rule("DENY", "docker-image://registry.example/b.se:1"),
    rule("DENY", "docker-image://*", "EXACT"),
    rule("DENY", "^base", "REGEX"),
    // Of Go alone.
    rule("DENY", "(?P<name>base)", "REGEX"),
  ];
  for (const one of matching)
    assert.notEqual(refusingRule(policyOf(one), source), undefined, JSON.stringify(one));
  for (const one of others) assert.equal(refusingRule(policyOf(one), source), undefined, JSON.stringify(one));
});

test("the first CONVERT that matches converts", () => {
  const first = rule("CONVERT", "docker-image://*");
  const rules = policyOf(rule("CONVERT", "git://*"), first, rule("CONVERT", "*"));
  assert.deepEqual(convertingRule(rules, source), { rule: first, number: 2 });
  assert.equal(convertingRule(policyOf(rule("DENY", "*")), source), undefined);
});
