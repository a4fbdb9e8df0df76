import * as z from "zod";
import { messageOf, UserError } from "../host/errors.ts";
import { RequestError } from "./faults.ts";
import { readAs, refuseUnusable } from "./read-json.ts";
import { nonEmpty } from "./scalars.ts";

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
  .refine(({ identifier, match_type: type }) => type !== "WILDCARD" || !identifier.includes("**"), {
    error: 'expected at most one "*" in a row in a WILDCARD',
    path: ["identifier"],
  })
  .refine(({ identifier, match_type: type }) => type === "REGEX" || namesSource.test(identifier), {
    error:
      'expected the beginning of a source, such as docker-image://registry.example/base:*, or "*", since without it the rule never applies',
    path: ["identifier"],
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

/** The param: a policy, its JSON, or the path of a file with it. */
export const sourcePolicyParam = z.union([nonEmpty, sourcePolicy], {
  error: "expected the path of a file with a source policy, or the policy itself: {rules: […]}",
});

export type PolicyParam = z.output<typeof sourcePolicyParam>;

/** A policy, its JSON, or the path of its file. */
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

/**
 * Reads the JSON of a policy.
 * @param subject names it in messages
 * @throws UserError with all that is wrong
 */
export function readSourcePolicy(text: string, subject: string): SourcePolicyDocument {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    // The parser's message quotes the text. Only the place is taken from it.
    const [place] = /line \d+ column \d+/.exec(messageOf(cause)) ?? ["cut off?"];
    throw new UserError(
      `${subject}: is not JSON (${place}); expected a source policy of BuildKit, which is JSON in a file or a text: {"rules": [{"action": "DENY", "selector": {"identifier": "docker-image://…"}}]}. In YAML, write it as a map: source_policy: {rules: […]}`,
      { cause },
    );
  }
  refuseUnusable(value, [subject]);
  return readAs(sourcePolicy, value, subject, { advise: adviseOnPolicy });
}

/**
 * Reads the JSON of a policy's file.
 * @param file its path, for messages
 * @throws UserError with all that is wrong
 */
export function readPolicyFile(text: string, file: string): SourcePolicyDocument {
  try {
    return readSourcePolicy(text, "source_policy");
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown;
    const faults =
      thrown instanceof RequestError ? thrown.faults.map(({ message }) => message) : [thrown.message];
    throw new UserError(faults.map((message) => `${file}: ${message}`).join("\n"), { cause: thrown });
  }
}

/** Names of a policy in the JSON of protobuf, in camel case. buildctl doesn't read it. */
function adviseOnPolicy(_: readonly PropertyKey[], name: string): string | undefined {
  return name === "matchType" || name === "type" ? "write match_type" : undefined;
}
