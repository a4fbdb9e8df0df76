import * as z from "zod";
import type { AuthorNames } from "../host/author-names.ts";
import { UserError } from "../host/errors.ts";
import type { compileGoExpression, GoExpression } from "../host/go-expression.ts";
import { orNone } from "../host/or-none.ts";
import { type Fault, jsonKindOf, RequestError } from "./faults.ts";
import { adviseWithin } from "./foreign-names.ts";
import { whyNeverApplies } from "./policy-identifiers.ts";
import { readAs, refuseUnusable } from "./read-json.ts";
import { nonEmpty } from "./scalars.ts";
import type { ParseYaml } from "./task-yaml.ts";

const constraint = z.strictObject({
  key: nonEmpty,
  value: z.string().default(""),
  condition: z.enum(["EQUAL", "NOTEQUAL", "MATCHES"]).default("EQUAL"),
});

/** BuildKit's identifiers begin with a scheme. A wildcard may stand for it. */
const namesSource = /^\*|:\/\//;

const selector = z
  .strictObject({
    identifier: nonEmpty,
    match_type: z.enum(["WILDCARD", "EXACT", "REGEX"]).default("WILDCARD"),
    constraints: z.array(constraint).default([]),
  })
  .superRefine(({ identifier, match_type: type }, context) => {
    const fault =
      type === "WILDCARD" && identifier.includes("**")
        ? 'expected at most one "*" in a row in a WILDCARD'
        : whyNeverApplies(identifier, type);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault, path: ["identifier"] });
  });

const rule = z
  .strictObject({
    // As in BuildKit, whose encoding leaves out the first of each enumeration.
    action: z.enum(["ALLOW", "DENY", "CONVERT"]).optional(),
    selector,
    updates: z
      .strictObject({
        identifier: nonEmpty
          .regex(namesSource, { error: "expected a source, such as docker-image://registry.example/base:1" })
          .optional(),
        attrs: z.record(nonEmpty, z.string()).optional(),
      })
      .refine((updates) => Object.keys(updates).length > 0, {
        error: "expected what a CONVERT changes: {identifier: docker-image://…}, or attrs",
      })
      .optional(),
  })
  .refine(({ action, updates }) => action !== "CONVERT" || updates !== undefined, {
    error: "expected what a CONVERT changes: {identifier: docker-image://…}, or attrs",
    path: ["updates"],
  })
  .refine(({ action, updates }) => action === "CONVERT" || updates === undefined, {
    error: "expected no updates, as only a CONVERT has some: write action: CONVERT, or remove them",
    path: ["updates"],
  });

/**
 * A source policy of BuildKit (sourcepolicy/pb/policy.proto), in the JSON that buildctl and buildx read. They ignore
 * names that they don't know, so that a misspelt rule would forbid nothing.
 */
export const sourcePolicy = z.strictObject({
  version: z.literal([0, 1]).default(1),
  rules: z.array(rule),
});
export type SourcePolicyDocument = z.output<typeof sourcePolicy>;

/** The param: a policy, its JSON or YAML, or the path of a file with it. */
export const sourcePolicyParam = z.union([nonEmpty, sourcePolicy], {
  error: "expected the path of a file with a source policy, or the policy itself: {rules: […]}",
});

export type PolicyParam = z.output<typeof sourcePolicyParam>;

/** A policy, its JSON or YAML, or the path of its file. */
export type PolicySource =
  | { readonly file: string }
  | { readonly text: string }
  | { readonly policy: SourcePolicyDocument };

/** Tells the forms of the param apart. */
export function policySource(given: PolicyParam): PolicySource {
  if (typeof given !== "string") return { policy: given };
  // No file's name has several lines or begins like a policy, in JSON or in YAML.
  return /^\s*[{[]|\n|^\s*(rules|version)\s*:/.test(given) ? { text: given } : { file: given };
}

const examplePolicy = '{"rules": [{"action": "DENY", "selector": {"identifier": "docker-image://…"}}]}';

/** How messages name a policy, or a place in it. */
export type PolicyPlaces = (path?: readonly PropertyKey[]) => string;

/** The places of a policy that the params hold: `params.source_policy.rules.0`. */
export function policyPlaces(names: AuthorNames): PolicyPlaces {
  return (path = []) => names.place(["source_policy", ...path]);
}

/** The places of a policy in a file: `source_policy: ci/policy.json: rules.0`. */
export function placesInFile(names: AuthorNames, file: string): PolicyPlaces {
  return (path = []) =>
    [names.param("source_policy"), file, ...(path.length === 0 ? [] : [path.map(String).join(".")])].join(
      ": ",
    );
}

/**
 * Reads the JSON of a policy.
 * @returns undefined if the text isn't JSON; it may be YAML
 * @throws UserError with all that is wrong
 */
export function readJsonPolicy(text: string, placeOf: PolicyPlaces): SourcePolicyDocument | undefined {
  const value: unknown = orNone(() => JSON.parse(text));
  return value === undefined ? undefined : readPolicy(value, placeOf);
}

/**
 * Reads the YAML of a policy.
 * @param parse throws an error with the place of the fault, as `pos`
 * @throws UserError with all that is wrong
 */
export function readYamlPolicy(text: string, placeOf: PolicyPlaces, parse: ParseYaml): SourcePolicyDocument {
  if (text.trim() === "")
    throw new UserError(`${placeOf()}: is empty; expected a source policy of BuildKit: ${examplePolicy}`);
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw new UserError(
      `${placeOf()}: is neither JSON nor YAML${yamlPlaceOf(cause, text)}; expected a source policy of BuildKit: ${examplePolicy}`,
      { cause },
    );
  }
  if (typeof value === "object" && value !== null) return readPolicy(value, placeOf);
  // buildx has policies of its own, in the language of the Open Policy Agent.
  const isRego = /^\s*package\s+[\w.]+\s*$/m.test(text);
  throw new UserError(
    `${placeOf()}: expected a source policy of BuildKit: ${examplePolicy}; found ${isRego ? "a policy in Rego, which BuildKit can't read" : jsonKindOf(value)}`,
  );
}

/** Where in a text a parser of YAML has found its fault. */
function yamlPlaceOf(thrown: unknown, text: string): string {
  const { pos } = thrown as { readonly pos?: readonly number[] };
  if (pos?.[0] === undefined) return "";
  const lines = text.slice(0, pos[0]).split("\n");
  return ` (line ${lines.length}, column ${(lines.at(-1) ?? "").length + 1})`;
}

const adviseOnPolicy = adviseWithin("put", "source_policy");

function readPolicy(value: unknown, placeOf: PolicyPlaces): SourcePolicyDocument {
  refuseUnusable(value, placeOf);
  return readAs(sourcePolicy, value, placeOf(), { advise: adviseOnPolicy, placeOf });
}

/**
 * The expressions of a policy's rules, by their texts.
 * @throws UserError naming each rule with an expression that Go can't read
 */
export function readExpressions(
  { rules }: SourcePolicyDocument,
  placeOf: PolicyPlaces,
  compile: typeof compileGoExpression,
): ReadonlyMap<string, GoExpression> {
  const expressions = new Map<string, GoExpression>();
  const faults: Fault[] = [];
  for (const { path, text } of rules.flatMap(({ selector: given }, index) => expressionsIn(given, index))) {
    const compiled = compile(text);
    if (typeof compiled !== "string") {
      expressions.set(text, compiled);
      continue;
    }
    const message = `${placeOf(path)}: expected a regular expression as Go has them (RE2); Go says: ${compiled}`;
    faults.push({ path, message, kind: "value" });
  }
  if (faults.length > 0) throw new RequestError(faults);
  return expressions;
}

/** Whether a policy has regular expressions. */
export function hasExpressions({ rules }: SourcePolicyDocument): boolean {
  return rules.some(({ selector: given }, index) => expressionsIn(given, index).length > 0);
}

function expressionsIn(
  { identifier, match_type: type, constraints }: SourcePolicyDocument["rules"][number]["selector"],
  index: number,
): readonly { readonly path: readonly PropertyKey[]; readonly text: string }[] {
  const place = ["rules", index, "selector"];
  return [
    ...(type === "REGEX" ? [{ path: [...place, "identifier"], text: identifier }] : []),
    ...constraints.flatMap(({ condition, value }, number) =>
      condition === "MATCHES" ? [{ path: [...place, "constraints", number, "value"], text: value }] : [],
    ),
  ];
}
