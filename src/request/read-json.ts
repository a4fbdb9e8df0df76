import type { z } from "zod";
import { UserError } from "../host/errors.ts";
import { suggestName } from "../host/suggest.ts";
import { type Fault, jsonKindOf, RequestError } from "./faults.ts";

/**
 * Reads the JSON object that Concourse wrote to stdin.
 * @throws UserError for nothing, for text that is no JSON, for JSON that is no object, and for what no field may hold
 */
export function readObject(text: string): Record<string, unknown> {
  if (text.trim() === "")
    throw new UserError('stdin is empty; expected the request as JSON: {"source": {…}, …}');
  const value = parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UserError(
      `the request on stdin is ${jsonKindOf(value)}; expected an object: {"source": {…}, …}`,
    );
  }
  refuseUnusable(value);
  return value as Record<string, unknown>;
}

/** Lists and maps in one another; a pipeline needs less than ten, and what recurses into them has a stack. */
const nestingLimit = 100;

/**
 * Refuses what is JSON but good for nothing, wherever it is: NUL, which no path, argument or variable can have, and the
 * name `__proto__`, which objects of JavaScript give a meaning of its own. Without recursion.
 * @param subject the names by which the value is reached, for messages
 * @throws UserError naming the place
 */
export function refuseUnusable(given: unknown, subject: readonly string[] = []): void {
  const waiting: { readonly value: unknown; readonly path: readonly string[] }[] = [
    { value: given, path: subject },
  ];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value, path } = next;
    const place = path.join(".");
    if (typeof value === "string" && value.includes("\0")) {
      throw new UserError(`${place}: holds a NUL character (\\u0000): remove it`);
    }
    if (typeof value !== "object" || value === null) continue;
    if (path.length > nestingLimit) {
      throw new UserError(
        `${path.slice(0, 3).join(".")}: is nested over ${nestingLimit} levels deep; expected less than ten`,
      );
    }
    for (const [name, content] of Object.entries(value)) {
      if (name === "__proto__") throw new UserError(`${place || "request"}: there is no "__proto__"`);
      if (name.includes("\0"))
        throw new UserError(`${place || "request"}: a name holds a NUL character (\\u0000): remove it`);
      waiting.push({ value: content, path: [...path, name] });
    }
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // JSON.parse quotes the text around the fault, which may hold a password.
    throw new UserError('the request on stdin is not JSON (cut off?); expected {"source": {…}, …}');
  }
}

/**
 * Holds a value against a schema.
 * @param subject the name of the value: `source`, `params`
 * @param found faults that are already known, to be told with the others
 * @throws RequestError with all that is wrong; values are never shown
 */
export function readAs<S extends z.ZodType>(
  schema: S,
  value: unknown,
  subject: string,
  found: readonly Fault[] = [],
): z.output<S> {
  const result = schema.safeParse(value);
  const issues = result.error?.issues ?? [];
  const faults = [...found, ...issues.flatMap((issue) => describe(issue, value, subject, schema))];
  if (!result.success || faults.length > 0) throw new RequestError(faults);
  return result.data;
}

function describe(issue: z.core.$ZodIssue, root: unknown, subject: string, schema: z.ZodType): Fault[] {
  const { path } = issue;
  const place = [subject, ...path.map(String)].join(".");
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => {
      const near = suggestName(key, knownKeys(schema, path));
      const hint = near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`;
      const message = `${place}: there is no ${JSON.stringify(key)}${hint}`;
      return { path: [...path, key], message, kind: "name" };
    });
  }
  const message = `${place}: ${whatIsWrong(issue)}, found ${jsonKindOf(valueAt(root, path))}`;
  return [{ path, message, kind: faultKinds[issue.code] ?? "value" }];
}

const faultKinds: Readonly<Partial<Record<z.core.$ZodIssue["code"], Fault["kind"]>>> = {
  invalid_key: "name",
  invalid_union: "choice",
};

function whatIsWrong(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type") return `expected ${withArticle(issue.expected)}`;
  if (issue.code === "invalid_value") return `expected ${issue.values.map(String).join(", ")}`;
  if (issue.code === "invalid_key") return issue.issues.map(({ message }) => message).join("; ");
  return issue.message;
}

function withArticle(expected: string): string {
  const names: Readonly<Record<string, string>> = {
    array: "a list",
    object: "a map",
    record: "a map",
    int: "a whole number",
  };
  return names[expected] ?? `a ${expected}`;
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}

/** The keys that a schema knows at a path, as far as it is made of objects. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let definition: unknown = schema;
  for (const part of [...path, undefined]) {
    while (hasInner(definition))
      definition = definition.def.innerType ?? definition.def.in ?? definition.def.valueType;
    if (!hasShape(definition)) return [];
    if (part === undefined) return Object.keys(definition.def.shape);
    definition = definition.def.shape[String(part)];
  }
  return [];
}

function hasInner(
  value: unknown,
): value is { def: { innerType?: unknown; in?: unknown; valueType?: unknown } } {
  if (typeof value !== "object" || value === null || !("def" in value)) return false;
  const { def } = value;
  return typeof def === "object" && def !== null && ("innerType" in def || "in" in def || "valueType" in def);
}

function hasShape(value: unknown): value is { def: { shape: Record<string, unknown> } } {
  if (typeof value !== "object" || value === null || !("def" in value)) return false;
  const { def } = value;
  return typeof def === "object" && def !== null && "shape" in def;
}
