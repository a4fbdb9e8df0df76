import { UserError } from "../host/errors.ts";
import { nearestName } from "../host/nearest.ts";

/**
 * How a param of the oci-build task is spelled, and how its string becomes the value of the snake_case form.
 * `prefix` forms carry a name in their own name: `BUILD_ARG_version: 1` is the entry `version` of `build_args`.
 */
export type UpperCase =
  | { readonly kind: "whole"; readonly name: string; readonly read: (text: string, name: string) => unknown }
  | {
      readonly kind: "prefix";
      readonly prefix: string;
      readonly read: (text: string, name: string) => unknown;
    };

export function whole(
  name: string,
  read: (text: string, name: string) => unknown = (text) => text,
): UpperCase {
  return { kind: "whole", name, read };
}

export function prefix(
  start: string,
  read: (text: string, name: string) => unknown = (text) => text,
): UpperCase {
  return { kind: "prefix", prefix: start, read };
}

/** `a, b` → `["a", "b"]`; empty parts are passed over. */
export function commaList(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** `a=1,b=2` → `{a: "1", b: "2"}`. */
export function commaPairs(text: string, name: string): Record<string, string> {
  return Object.fromEntries(
    commaList(text).map((part) => {
      const equals = part.indexOf("=");
      if (equals < 1)
        throw new UserError(
          `${name}: expected name=value, separated by commas; found a part without a name or without "="`,
        );
      return [part.slice(0, equals), part.slice(equals + 1)];
    }),
  );
}

/** `true` or `false`, as the task's environment has them. */
export function boolean(text: string, name: string): boolean {
  // strconv.ParseBool's spellings: the task is a Go program, and pipelines rely on them.
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false|)$/i.test(text)) return false;
  throw new UserError(`${name}: expected true or false; found another text`);
}

type Forms = Readonly<Record<string, readonly UpperCase[]>>;

/**
 * Params with every upper-case name replaced by its snake_case form.
 * @param forms the upper-case forms of each snake_case name
 * @throws UserError when both forms of one param are given, or for a name that is neither
 */
export function lowerCaseParams(
  given: Readonly<Record<string, unknown>>,
  forms: Forms,
): Record<string, unknown> {
  const lowered = new Map<
    string,
    { readonly from: string; readonly value: unknown; readonly entries: boolean }
  >();
  for (const [name, value] of Object.entries(given)) {
    const found = Object.hasOwn(forms, name) ? undefined : findForm(name, forms);
    if (found === undefined && !Object.hasOwn(forms, name)) throw unknownName(name, forms);
    const target = found?.param ?? name;
    const read = found === undefined ? value : readForm(found, name, value);
    const earlier = lowered.get(target);
    const isEntry = found?.form.kind === "prefix";
    if (earlier !== undefined && !(earlier.entries && isEntry)) {
      throw new UserError(
        `params: ${earlier.from} and ${name} are two forms of one param, ${target}: remove one`,
      );
    }
    const merged = isEntry ? { ...(earlier?.value as object | undefined), ...(read as object) } : read;
    lowered.set(target, { from: earlier?.from ?? name, value: merged, entries: isEntry });
  }
  return Object.fromEntries(Array.from(lowered, ([name, { value }]) => [name, value]));
}

interface Found {
  readonly param: string;
  readonly form: UpperCase;
}

/** The param that an upper-case name belongs to. */
export function findForm(name: string, forms: Forms): Found | undefined {
  for (const [param, candidates] of Object.entries(forms)) {
    for (const form of candidates) {
      const fits =
        form.kind === "whole"
          ? name === form.name
          : name.startsWith(form.prefix) && name.length > form.prefix.length;
      if (fits) return { param, form };
    }
  }
  return undefined;
}

function readForm({ form }: Found, name: string, value: unknown): unknown {
  const isScalar = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
  if (!isScalar) throw new UserError(`params.${name}: expected a string; found ${kindOf(value)}`);
  if (form.kind === "whole") return form.read(String(value), name);
  return { [name.slice(form.prefix.length)]: form.read(String(value), name) };
}

function unknownName(name: string, forms: Forms): UserError {
  const upper = Object.values(forms)
    .flat()
    .map((form) => (form.kind === "whole" ? form.name : `${form.prefix}*`));
  const near = nearestName(name, [...Object.keys(forms), ...upper]);
  const hint = near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`;
  return new UserError(`params: there is no param ${JSON.stringify(name)}${hint}`);
}

/** What kind of JSON value this is, for messages that must not show the value itself. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "nothing (null)";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  return `a ${typeof value}`;
}
