import type { AuthorNames } from "../host/author-names.ts";
import { UserError } from "../host/errors.ts";
import { orNone } from "../host/or-none.ts";
import { didYouMean, type Fault, jsonKindOf, unknownNameFault } from "./faults.ts";
import type { Advise } from "./foreign-names.ts";
import { placesBelow, refuseUnusable } from "./read-json.ts";
import { lineName, readHostPairs, readPairList, readSshPairs, splitList } from "./text-lists.ts";

/**
 * The spelling of a param of the oci-build task, and how its string becomes the value of the snake_case param.
 * `prefix` forms contain the name of an entry: `BUILD_ARG_version: 1` is the entry `version` of `build_args`.
 */
export type TaskForm = { readonly syntax: Syntax } & (
  | {
      readonly kind: "whole";
      readonly name: string;
      /** Whether its value is a map that can be combined with the entries of a prefix form. */
      readonly isMap?: boolean;
    }
  | { readonly kind: "prefix"; readonly prefix: string; readonly names: string }
);

/** How the string of a param is read. */
export interface Syntax {
  /** The pattern in the published JSON Schema. */
  readonly pattern?: RegExp;
  /**
   * What the value of the snake_case param is. A put's param may then be that itself, and a task's be its JSON, which
   * Concourse makes of maps and lists in a task's params.
   */
  readonly structure?: "map" | "list";
  /** @throws UserError naming the param for a string that it can't have */
  readonly read: (text: string, name: string) => unknown;
}

/** The string as it is. */
export const plain: Syntax = { read: (text) => text };
/** A path, or another string that is useless if empty. */
export const something: Syntax = { pattern: /./, read: (text) => text };

export function whole(name: string, syntax = plain): TaskForm {
  return { kind: "whole", name, syntax };
}

/** `BUILD_ARGS: a=1,b=2`, which can be combined with `BUILD_ARG_c: 3`. */
export function wholeMap(name: string): TaskForm {
  return { kind: "whole", name, syntax: pairList, isMap: true };
}

/** @param names what may follow the prefix, as a regular expression for the published JSON Schema */
export function prefix(start: string, syntax = plain, names = "."): TaskForm {
  return { kind: "prefix", prefix: start, syntax, names };
}

/**
 * `a, b` → `["a", "b"]`. Empty parts are skipped.
 * @param part what each part may be, as a regular expression; it can't have blanks
 */
export function commaList(part: string): Syntax {
  return {
    structure: "list",
    pattern: new RegExp(`^[\\s,]*((${part})([\\s,]+(${part}))*)?[\\s,]*$`),
    read: splitList,
  };
}

/** Of {@link pairList}'s pattern: lines that are comments, and one that begins with a pair. */
const comments = "\\s*(?:#[^\\n]*\\n\\s*)*";
const pairLine = `${lineName}=[^\\n]*(?:\\n|$)`;

/** `a=1,b=x y` → `{a: "1", b: "x y"}`. */
const pairList: Syntax = {
  structure: "map",
  pattern: new RegExp(
    `^(?:${comments}[\\s,]*([^,=\\s]+=([^,{]|\\{[^}]*(\\}|$))*(,|$)[\\s,]*)*|${comments}${pairLine}${comments}${pairLine}(\\s*#[^\\n]*(\\n|$)|\\s*${pairLine})*\\s*)$`,
  ),
  read: readPairList,
};

/** `a=1,b=2,a=3` → `{a: ["1", "3"], b: ["2"]}`. */
export const hostPairs: Syntax = {
  structure: "map",
  pattern: /^[\s,]*([^\s,="]+=[^\s,="]+([\s,]+|$))*$/,
  read: readHostPairs,
};

/** `id=path,path` → `{id: ["path", "path"]}`. */
export const sshPairs: Syntax = {
  structure: "map",
  pattern:
    /^(?:[\s,]*([A-Za-z0-9_.:/@-]+=[^\s,][^,\n]*([,\n]|$)\s*([^\s,=][^,=\n]*([,\n]|$)\s*)*)*|\s*[A-Za-z0-9_.:/@-]+=\s*-----BEGIN ((?!-----(BEGIN|END) )[\s\S])*-----END [^\n-]*-----\s*)$/,
  read: readSshPairs,
};

/** The path of a file, or a map itself or as a text. */
export const pathOrMap: Syntax = { ...plain, structure: "map" };

/** `true` or `false`, as in the task's environment. */
export const boolean: Syntax = {
  pattern: /^\s*([01tTfF]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE])?\s*$/,
  read: readBoolean,
};

function readBoolean(text: string, name: string): boolean {
  // The spellings of Go's strconv.ParseBool: the oci-build task is a Go program, and pipelines rely on them.
  if (/^\s*(1|t|true)\s*$/i.test(text)) return true;
  if (/^\s*(0|f|false|)\s*$/i.test(text)) return false;
  throw new UserError(`${name}: expected true or false; found ${JSON.stringify(text.slice(0, 60))}`);
}

type Forms = Readonly<Record<string, readonly TaskForm[]>>;

/**
 * Replaces every upper-case name by its snake_case form. The faults are unknown names, two forms of one param, and
 * wrong values of upper-case params. What has a fault is left out of `params`.
 * @param forms the upper-case forms of each snake_case name
 * @param told.advise what to write instead of a name that is neither
 * @param told.names what the author calls the params
 */
export function fromTaskForms(
  given: Readonly<Record<string, unknown>>,
  forms: Forms,
  told: { readonly advise: Advise; readonly names: AuthorNames },
): { readonly params: Record<string, unknown>; readonly faults: readonly Fault[] } {
  const lowered = new Map<string, Lowered>();
  const faults: Fault[] = [];
  const all = Object.entries(given).map(([name, value]) => {
    const found = Object.hasOwn(forms, name) ? undefined : findForm(name, forms);
    return { name, value, found };
  });
  // A variable of its own wins over the list, whatever their order, as in the oci-build task.
  for (const { name, value, found } of [...all.filter(isList), ...all.filter((each) => !isList(each))]) {
    if (found === undefined && !Object.hasOwn(forms, name)) {
      faults.push(unknownParam(name, forms, told.advise));
      continue;
    }
    const field = found?.param ?? name;
    try {
      const fault = lower({ name, value, found }, lowered, told.names);
      if (fault !== undefined)
        faults.push({ path: [name], message: told.names.among(fault), kind: "name", field });
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown;
      faults.push({ path: [name], message: thrown.message, kind: "value", field });
    }
  }
  const params = Object.fromEntries(Array.from(lowered, ([name, { value }]) => [name, value]));
  return { params, faults };
}

function isList({ found }: { readonly found: MatchedForm | undefined }): boolean {
  return found?.form.kind === "whole" && found.form.isMap === true;
}

/** A snake_case param that has been read. */
interface Lowered {
  /** The name under which it was given first. */
  readonly from: string;
  readonly value: unknown;
  /** Whether it is a map whose entries come from upper-case names. */
  readonly entries: boolean;
  /** The upper-case name that gave each entry, but for those of a list. */
  readonly givers: Map<string, string>;
}

/** A param as it is given. */
interface Given {
  readonly name: string;
  readonly value: unknown;
  readonly found: MatchedForm | undefined;
}

/**
 * Adds a param. Returns a message if it was already given under another name.
 * @throws UserError for a text that the param can't have
 */
function lower(
  { name, value, found }: Given,
  lowered: Map<string, Lowered>,
  names: AuthorNames,
): string | undefined {
  if (found !== undefined && isNotGiven(value, found.form)) return undefined;
  const target = found?.param ?? name;
  const earlier = lowered.get(target);
  const entry = found?.form.kind === "prefix" ? name.slice(found.form.prefix.length) : undefined;
  const isEntry = entry !== undefined || (found?.form.kind === "whole" && found.form.isMap === true);
  if (earlier !== undefined && !(earlier.entries && isEntry))
    return `${earlier.from} and ${name} are two forms of one param, ${target}: remove one`;
  const read = found === undefined ? value : readForm(found, { name, value, names });
  const other = entry === undefined ? undefined : earlier?.givers.get(entry);
  if (other !== undefined) return `${other} and ${name} both give ${entry}: remove one`;
  if (entry !== undefined) earlier?.givers.set(entry, name);
  if (isEntry && earlier !== undefined) {
    // Added in place: there may be many entries, and copying the map for each would take quadratic time.
    Object.assign(earlier.value as object, read);
    return undefined;
  }
  const givers = new Map(entry === undefined ? [] : [[entry, name]]);
  lowered.set(target, { from: name, value: read, entries: isEntry, givers });
  return undefined;
}

/** How a form is named in messages: `CONTEXT`, `BUILD_ARG_*`. */
export function formName(form: TaskForm): string {
  return form.kind === "whole" ? form.name : `${form.prefix}*`;
}

interface MatchedForm {
  readonly param: string;
  readonly form: TaskForm;
}

/** The param that an upper-case name belongs to. */
export function findForm(name: string, forms: Forms): MatchedForm | undefined {
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

/**
 * Whether a param without a value counts as not given. That is so in a task's environment, and also when it was
 * pasted into a put.
 */
function isNotGiven(value: unknown, form: TaskForm): boolean {
  return form.kind === "whole" && (value === null || value === "");
}

function readForm(
  { form }: MatchedForm,
  { name, value, names }: Pick<Given, "name" | "value"> & { readonly names: AuthorNames },
): unknown {
  const { structure } = form.syntax;
  const place = names.place([name]);
  const structured = structure === undefined ? undefined : asStructure(value, structure, place);
  if (structured !== undefined) {
    // A text may hold what the request itself was searched for.
    refuseUnusable(structured, placesBelow(name));
    return structured;
  }
  // Concourse gives a task an empty variable for it.
  const given = value ?? "";
  const isScalar = typeof given === "string" || typeof given === "number" || typeof given === "boolean";
  if (!isScalar)
    throw new UserError(
      `${place}: expected a string; found ${jsonKindOf(value)}; to pass JSON, put it in quotes`,
    );
  const read = form.syntax.read(String(given), name);
  if (form.kind === "whole") return read;
  const entry = name.slice(form.prefix.length);
  if (entry === "__proto__") throw new UserError(names.among(`there is no ${name}`));
  return { [entry]: read };
}

/** A map or a list, itself or as JSON. Undefined for a text in the param's own notation. The value is a copy. */
function asStructure(value: unknown, structure: "map" | "list", place: string): object | undefined {
  const given = typeof value === "string" ? parsedJson(value) : value;
  if (typeof given !== "object" || given === null) return undefined;
  if (Array.isArray(given) === (structure === "list"))
    return Array.isArray(given) ? [...given] : { ...given };
  throw new UserError(`${place}: expected a string or a ${structure}; found ${jsonKindOf(given)}`);
}

/** The value of a text that is the JSON of a map or a list. */
function parsedJson(text: string): unknown {
  return /^\s*[{[]/.test(text) ? orNone(() => JSON.parse(text)) : undefined;
}

function unknownParam(name: string, forms: Forms, advise: Advise): Fault {
  const upper = Object.values(forms).flat().map(formName);
  const advice = advise([], name) ?? didYouMean(name, [...Object.keys(forms), ...upper]);
  return unknownNameFault([name], { where: "params: there is no param", name, advice });
}
