import * as z from "zod";

/** The schemas that are marked by {@link secret}. Copies that zod makes of a schema inherit its entry. */
const marks = z.registry<{ readonly isSecret: true }>();

/**
 * Marks a field whose value is a secret or may contain one, such as a URL with a login. No message shows the value or
 * a part of it.
 * @returns a copy of the schema with the mark
 */
export function secret<S extends z.ZodType>(schema: S): S {
  const marked = schema.clone();
  marks.add(marked, { isSecret: true });
  return marked;
}

/**
 * Whether a value may be a secret, which depends on the fields that it is in: `secret` if one of them is marked, `around`
 * if it is the place of a map with such fields, and `shown` otherwise. Pure.
 * @param path names and indexes that lead to the value
 */
export function secrecyAt(schema: unknown, path: readonly PropertyKey[]): "secret" | "around" | "shown" {
  if (path.some((_, depth) => formsAt(schema, path.slice(0, depth)).some(isMarked))) return "secret";
  const forms = formsAt(schema, path);
  if (forms.some(isMarked)) return "secret";
  return forms.some(containsMark) ? "around" : "shown";
}

/** Says what is wrong with a value, after the name of its place. */
type SaysAt = (place: string) => string;

/**
 * An issue whose message holds the value's place. Only who reads the request knows what its author calls that.
 * @returns the issue, for what is said of `input`
 */
export function placedIssue<I>(input: I, says: SaysAt) {
  return { code: "custom" as const, input, message: says("the value"), params: { says } };
}

/** The whole message of such an issue, or undefined if it is another. */
export function placedMessage(issue: z.core.$ZodIssue, place: string): string | undefined {
  const says: unknown = issue.code === "custom" ? issue.params?.["says"] : undefined;
  return typeof says === "function" ? (says as SaysAt)(place) : undefined;
}

/** The paths of all marked fields below a schema. `*` stands for any name or index. */
export function secretFields(schema: unknown): readonly string[] {
  const found = new Set<string>();
  for (const { path, forms } of fieldsBelow(schema)) if (forms.some(isMarked)) found.add(path.join("."));
  return [...found];
}

/** The paths of all fields below a schema, with what may stand there. `*` stands for any name or index. */
export function* fieldsBelow(
  schema: unknown,
  path: readonly string[] = [],
): Generator<{ readonly path: readonly string[]; readonly forms: readonly unknown[] }> {
  const forms = formsOf(schema);
  yield { path, forms };
  for (const form of forms) {
    for (const [name, part] of namedParts(form)) yield* fieldsBelow(part, [...path, name]);
  }
}

/** The names that a schema knows at a path, in any of its forms. */
export function knownNames(schema: unknown, path: readonly PropertyKey[]): string[] {
  return formsAt(schema, path).flatMap((form) =>
    hasPart(form, "shape") ? Object.keys(form.def.shape as object) : [],
  );
}

function isMarked(schema: unknown): boolean {
  return marks.get(schema as z.ZodType)?.isSecret === true;
}

function containsMark(schema: unknown): boolean {
  return namedParts(schema).some(([, part]) =>
    formsOf(part).some((form) => isMarked(form) || containsMark(form)),
  );
}

/** The schemas that may apply at a path: the one there, those that it wraps, and the members of its unions. */
export function formsAt(schema: unknown, [part, ...rest]: readonly PropertyKey[]): readonly unknown[] {
  const forms = formsOf(schema);
  if (part === undefined) return forms;
  return forms.flatMap((form) =>
    namedParts(form)
      .filter(([name]) => name === "*" || name === String(part))
      .flatMap(([, inner]) => formsAt(inner, rest)),
  );
}

/** The schema, those that it wraps, and the members of its unions. */
function formsOf(schema: unknown): readonly unknown[] {
  if (hasPart(schema, "innerType")) return [schema, ...formsOf(schema.def.innerType)];
  if (hasPart(schema, "in")) return [schema, ...formsOf(schema.def.in)];
  if (hasPart(schema, "options")) return [schema, ...(schema.def.options as unknown[]).flatMap(formsOf)];
  return [schema];
}

/** The parts of a map or list by their names. `*` stands for any name or index. */
function namedParts(schema: unknown): readonly (readonly [name: string, part: unknown])[] {
  if (hasPart(schema, "shape")) return Object.entries(schema.def.shape as object);
  if (hasPart(schema, "valueType")) return [["*", schema.def.valueType]];
  return hasPart(schema, "element") ? [["*", schema.def.element]] : [];
}

/** Whether this is a zod schema whose definition has this part. */
function hasPart<P extends string>(value: unknown, part: P): value is { def: Record<P, unknown> } {
  if (typeof value !== "object" || value === null || !("def" in value)) return false;
  const { def } = value;
  return typeof def === "object" && def !== null && part in def;
}
