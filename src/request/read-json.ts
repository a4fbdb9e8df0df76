import type * as z from "zod";
import { messageOf, UserError } from "../host/errors.ts";
import { didYouMean, type Fault, jsonKindOf, RequestError, unknownNameFault } from "./faults.ts";
import { faultsBy, type Rule, type Unreliable } from "./rules.ts";
import { text as anyText } from "./scalars.ts";
import { formsAt, knownNames, placedMessage, secrecyAt } from "./schema-parts.ts";

/**
 * Parses the JSON object that Concourse wrote to stdin.
 * @throws UserError if the text is empty, isn't a JSON object, or holds something that no field may hold
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

/**
 * Deepest nesting of lists and maps. A pipeline needs less than ten levels, and functions that recurse into the
 * value need stack for each.
 */
const nestingLimit = 100;

/**
 * Refuses what is valid JSON but can't be used in any field: NUL, which no path, argument or variable can contain,
 * the name `__proto__`, which has a special meaning in JavaScript objects, and too deep nesting. Doesn't recurse.
 * @param placeOf how messages name a place in the value; by default by the names that lead there
 * @throws UserError naming the place
 */
export function refuseUnusable(
  given: unknown,
  placeOf: (path: readonly string[]) => string = (path) => path.join("."),
): void {
  const waiting: { readonly value: unknown; readonly path: readonly string[] }[] = [
    { value: given, path: [] },
  ];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value, path } = next;
    const place = placeOf(path);
    if (typeof value === "string" && value.includes("\0")) {
      throw new UserError(`${place}: holds a NUL character (\\u0000): remove it`);
    }
    if (typeof value !== "object" || value === null) continue;
    if (path.length > nestingLimit) {
      throw new UserError(
        `${placeOf(path.slice(0, 3))}: is nested over ${nestingLimit} levels deep; expected less than ten`,
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
  } catch (thrown) {
    throw new UserError(
      `the request on stdin is not JSON${whereNot(text, messageOf(thrown))}; expected {"source": {…}, …}`,
    );
  }
}

/** How messages name a value, and the places in it by the names that lead there. */
export function placesBelow(subject: string): (path: readonly PropertyKey[]) => string {
  return (path) => [subject, ...path.map(String)].join(".");
}

/**
 * Where a text is not JSON.
 * @param said V8's words, of which no more is passed on: they quote the text around the fault, which may hold a password
 */
function whereNot(text: string, said: string): string {
  const [, position] = / at position (\d+)(?: \(line \d+ column \d+\))?$/.exec(said) ?? [];
  if (/^Unexpected end |^Unterminated /.test(said) || Number(position) === text.length) return " (cut off?)";
  if (position === undefined) return "";
  const what = said.startsWith("Unexpected non-whitespace character after")
    ? "something follows its end, "
    : "";
  return ` (${what}at character ${Number(position) + 1})`;
}

/** What {@link readAs} needs to know besides the schema. */
interface Reading<T> {
  /** Faults that are already known, to be reported with the others. Their fields are not in the value. */
  readonly found?: readonly Fault[];
  /** What to write instead of a name that the schema doesn't know. */
  readonly advise?: (path: readonly PropertyKey[], name: string) => string | undefined;
  /** Rules about what the schema has read. */
  readonly rules?: readonly Rule<T>[];
  /** How messages name a place in the value. By default by the subject and the names that lead there. */
  readonly placeOf?: (path: readonly PropertyKey[]) => string;
  /** What is wrong with a name in a map, if there is more to say than the schema does. */
  readonly wrongName?: (path: readonly PropertyKey[]) => string | undefined;
}

/** What could be read of a value. */
export interface PartlyRead<T> {
  /** The fields that have no fault of their own; undefined if not even these can be read. */
  readonly value: T | undefined;
  readonly faults: readonly Fault[];
}

/**
 * Validates a value by a schema and rules.
 * @param subject the name of the value: `source`, `params`
 * @throws RequestError with all faults; values of fields that may hold a secret are not shown
 */
export function readAs<S extends z.ZodType>(
  schema: S,
  value: unknown,
  subject: string,
  reading: Reading<z.output<S> & object> = {},
): z.output<S> {
  const { value: read, faults } = readPartly(schema, value, subject, reading);
  if (faults.length > 0 || read === undefined) throw new RequestError(faults);
  return read;
}

/**
 * Validates a value by a schema and rules. If fields have faults, the others are read without them, so that the rules
 * about these can be checked too.
 * @param subject the name of the value: `source`, `params`
 */
export function readPartly<S extends z.ZodType>(
  schema: S,
  value: unknown,
  subject: string,
  reading: Reading<z.output<S> & object> = {},
): PartlyRead<z.output<S>> {
  const { found = [], rules = [] } = reading;
  const { advise = () => undefined, placeOf = placesBelow(subject), wrongName = () => undefined } = reading;
  const result = schema.safeParse(value);
  const issues = result.error?.issues ?? [];
  const about: Subject = { root: value, subject, schema, advise, placeOf, wrongName };
  const described = issues.flatMap((issue) => describe(issue, about));
  const faults = [...found, ...described];
  const rest = result.success ? result : schema.safeParse(withoutFaulty(value, described));
  if (!rest.success) return { value: undefined, faults };
  const broken = faultsBy(rules, rest.data as z.output<S> & object, unreliable(faults));
  return { value: rest.data, faults: [...faults, ...broken] };
}

/** What a function reads, or the faults for which it throws a UserError. */
export function thrownFaults<T>(read: () => T): PartlyRead<T> {
  try {
    return { value: read(), faults: [] };
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown;
    const faults: readonly Fault[] =
      thrown instanceof RequestError ? thrown.faults : [{ path: [], message: thrown.message, kind: "value" }];
    return { value: undefined, faults };
  }
}

/** What rules can't rely on beside these faults. */
export function unreliable(all: readonly Fault[]): Unreliable {
  const faults = all.filter(({ isAdvice = false }) => !isAdvice);
  const faulty = new Set(
    faults.flatMap(({ path: [name], field }) =>
      [name, field].filter((each) => each !== undefined).map(String),
    ),
  );
  return { isFaulty: (field) => faulty.has(field), hasUnknown: faults.some(({ kind }) => kind === "name") };
}

function withoutFaulty(value: unknown, faults: readonly Fault[]): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { isFaulty } = unreliable(faults);
  return Object.fromEntries(Object.entries(value).filter(([name]) => !isFaulty(name)));
}

interface Subject extends Required<Pick<Reading<object>, "advise" | "placeOf" | "wrongName">> {
  readonly root: unknown;
  readonly subject: string;
  readonly schema: z.ZodType;
}

function describe(issue: z.core.$ZodIssue, about: Subject): Fault[] {
  const { path } = issue;
  const place = about.placeOf(path);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => {
      const advice = about.advise(path, key) ?? didYouMean(key, knownNames(about.schema, path));
      return unknownNameFault([...path, key], { where: `${place}: there is no`, name: key, advice });
    });
  }
  // It shows the value, so the number of an item is not needed.
  const complete = placedMessage(issue, about.placeOf(path.filter((part) => typeof part !== "number")));
  if (complete !== undefined) return [{ path, message: complete, kind: "value" }];
  const meant = issue.code === "invalid_union" ? formMeant(issue) : undefined;
  if (meant !== undefined)
    return meant.flatMap((each) => describe({ ...each, path: [...path, ...each.path] }, about));
  const found = valueAt(about.root, path);
  const isOpen = issue.code === "custom" && issue.params?.["isShown"] === true;
  const isSafe = isOpen ? isReadable(found) : isShown(found, path, about.schema);
  // A name without a value after it, as in `context:`.
  const isBare = found === null && about.subject !== "request" && path.length === 1;
  const hints = [
    isBare ? "give it a value, or leave it out" : undefined,
    remedy(issue, found, isSafe),
    howToPass(found, path, about.schema),
    fieldsWanted(issue, found, about),
    ...strangers(found, path, about),
  ].filter((hint) => hint !== undefined);
  // A name has the fault, so what it holds doesn't matter.
  const wrong =
    issue.code === "invalid_key"
      ? (about.wrongName(path) ?? whatIsWrong(issue))
      : `${whatIsWrong(issue)}, ${whatIsFound(found, isSafe)}`;
  const message = `${place}: ${[wrong, ...hints].join("; ")}`;
  const kind = issue.code === "invalid_key" ? "name" : issue.code === "invalid_union" ? "choice" : "value";
  return [{ path, message, kind }];
}

function whatIsFound(found: unknown, isSafe: boolean): string {
  if (found === undefined) return "but it is missing";
  if (Array.isArray(found) && found.length === 0) return "found an empty list";
  if (found === "") return "found an empty text (is a variable empty?)";
  if (!isSafe && typeof found === "string" && /[\n\r]\s*\S/.test(found))
    return "found a text of several lines";
  return `found ${isSafe ? JSON.stringify(found) : jsonKindOf(found)}`;
}

/** Characters of the longest value that is shown. */
const longestShown = 60;

/** What can't be a secret: a yes or no, or an address without a login or path. */
const harmless = /^(?:true|false|[a-z]+:\/\/[\w.-]+(?::\d+)?)$/;

/**
 * Whether a message may show a value. A text in the place of a map with secrets may be that map in another form, or one
 * of the secrets.
 */
function isShown(value: unknown, path: readonly PropertyKey[], schema: z.ZodType): boolean {
  const secrecy = secrecyAt(schema, path);
  if (secrecy === "secret") return false;
  if (secrecy === "around") return harmless.test(String(value));
  return isReadable(value);
}

/** Whether a value is short and plain enough for a message. */
function isReadable(value: unknown): boolean {
  if (typeof value !== "string") return typeof value === "number" || typeof value === "boolean";
  return value.length <= longestShown && !/[\p{Cc}@]/u.test(value);
}

/** Number of fields of the largest map whose fields are listed. */
const mostListed = 8;

/** The fields of a map in whose place there is something else. */
function fieldsWanted(
  issue: z.core.$ZodIssue,
  found: unknown,
  { schema }: Pick<Subject, "schema">,
): string | undefined {
  if (issue.code !== "invalid_type" || issue.expected !== "object" || found === undefined) return undefined;
  const names = knownNames(schema, issue.path);
  return names.length === 0 || names.length > mostListed ? undefined : `its fields are ${names.join(", ")}`;
}

/** How to fix the most frequent mistakes. */
function remedy(issue: z.core.$ZodIssue, found: unknown, isSafe: boolean): string | undefined {
  if (issue.code !== "invalid_type") return undefined;
  if (issue.expected === "array" && typeof found === "string" && found !== "") {
    const all = found.split(/[,\s]+/).filter((part) => /^[\w./:-]+$/.test(part));
    // Other tools take whole references for tags.
    const parts = issue.path.at(-1) === "tags" ? all.map((part) => part.replace(/^.*:/, "")) : all;
    return `a list is written in brackets: ${isSafe && parts.length > 0 ? `[${parts.join(", ")}]` : "[one, two]"}`;
  }
  if (issue.expected === "record" && (typeof found === "string" || Array.isArray(found)) && found.length > 0)
    return "a map is written {name: value}, or with one name: value a line";
  if (issue.expected === "string" && typeof found === "object" && found !== null && "architecture" in found)
    return "write it as one text: linux/arm64";
  // The docker-image resource's list of hosts and certificates.
  if (issue.expected === "string" && typeof found === "object" && found !== null && "cert" in found)
    return "write the PEM text alone, or registries: {host: {ca_certs: …}} for one host";
  if (issue.expected === "string" && (typeof found === "number" || typeof found === "boolean"))
    return "put it in quotes";
  const isQuoted =
    (issue.expected === "boolean" && (found === "true" || found === "false")) ||
    (issue.expected === "number" && typeof found === "string" && /^\d+$/.test(found));
  return isQuoted ? "remove the quotes" : undefined;
}

/** How a map or a list is passed in place of a text. */
function howToPass(found: unknown, path: readonly PropertyKey[], schema: z.ZodType): string | undefined {
  const isStructure = typeof found === "object" && found !== null;
  return isStructure && formsAt(schema, path).includes(anyText)
    ? "to pass JSON, put it in quotes"
    : undefined;
}

/** Hints at the names in a map that don't exist in any of the allowed forms. */
function strangers(found: unknown, path: readonly PropertyKey[], { schema, advise }: Subject): string[] {
  if (typeof found !== "object" || found === null || Array.isArray(found)) return [];
  const known = knownNames(schema, path);
  if (known.length === 0) return [];
  return Object.keys(found)
    .filter((key) => !known.includes(key))
    .map((key) => {
      const hint = advise(path, key) ?? didYouMean(key, known);
      return `there is no ${JSON.stringify(key)}${hint === undefined ? "" : `, ${hint}`}`;
    });
}

/**
 * If a value fits none of several forms, the issues of the form that it was meant to have: the only form for its
 * kind of value and its `type`. Undefined if no single form stands out.
 */
function formMeant({ errors }: z.core.$ZodIssueInvalidUnion): readonly z.core.$ZodIssue[] | undefined {
  const near = errors.flatMap((issues) => {
    const [only, ...others] = issues;
    const inner = only?.code === "invalid_union" && only.path.length === 0 && others.length === 0;
    const meant = inner ? formMeant(only) : issues;
    const isOfAnother = (meant ?? issues).some(({ code, path }) => {
      if (path.length === 0)
        return code === "invalid_type" || code === "invalid_value" || code === "invalid_union";
      return code === "invalid_value" && path.length === 1 && path[0] === "type";
    });
    return meant === undefined || isOfAnother ? [] : [meant];
  });
  const [form, ...more] = near.length > 0 ? near : errors.filter(isOfItsKind);
  // If the fault is in the value itself rather than in a field of it, the message that lists all forms explains it
  // better.
  return more.length > 0 || form?.every(({ path, code }) => path.length === 0 && code !== "unrecognized_keys")
    ? undefined
    : form;
}

/** Whether the value is of the kind that a form wants, so that the form's issues are about its fields. */
function isOfItsKind(issues: readonly z.core.$ZodIssue[]): boolean {
  return issues.every(({ path }) => path.length > 0);
}

function whatIsWrong(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type") return `expected ${withArticle(issue.expected)}`;
  if (issue.code === "invalid_value")
    return `expected ${issue.values.length > 1 ? "one of " : ""}${issue.values.map(String).join(", ")}`;
  if (issue.code === "too_small")
    return bounded(
      issue,
      `expected ${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}`,
    );
  if (issue.code === "too_big")
    return bounded(issue, `expected ${issue.inclusive === false ? "less than" : "at most"} ${issue.maximum}`);
  if (issue.code === "invalid_key") return issue.issues.map(({ message }) => message).join("; ");
  return issue.message;
}

/** The schema's own message about a bound, or else these words. */
function bounded({ message }: z.core.$ZodIssue, words: string): string {
  return message.startsWith("Too ") ? words : message;
}

function withArticle(expected: string): string {
  const names: Readonly<Record<string, string>> = {
    array: "a list",
    object: "a map",
    record: "a map",
    boolean: "true or false",
    int: "a whole number",
    nonoptional: "a value",
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
