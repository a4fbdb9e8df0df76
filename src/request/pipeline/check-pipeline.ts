import { parseDocument } from "yaml";
import { UserError } from "../../host/errors.ts";
import { suggestName } from "../../host/suggest.ts";
import { jsonKindOf } from "../faults.ts";
import { type PutParams, taskForms } from "../put-params.ts";
import { readGetParams, readPutParams, readSource } from "../read-parts.ts";
import { readRegistries } from "../registry-fields.ts";
import { readTaskParams, readTaskVariables, taskVariables } from "../task-params.ts";
import { registriesVariable } from "../task-registries.ts";
import { findForm } from "../task-syntax.ts";
import { type Entry, type Located, type Position, plainValue, readYaml } from "./document.ts";
import { findUses, type Use } from "./find-uses.ts";
import { certainFaults, isVariable } from "./variables.ts";

/** One thing that is wrong in a pipeline. */
export interface PipelineFault extends Position {
  /** For example: `job build, put web: params: there is no param "contxt"` */
  readonly message: string;
}

export interface CheckedPipeline {
  /** Number of uses of each kind that were found and checked. */
  readonly counts: Readonly<Record<Use["kind"], number>>;
  /** In the order of the file. */
  readonly faults: readonly PipelineFault[];
}

/** The step whose params were read. */
export type CheckedUse =
  | { readonly kind: "task" }
  | { readonly kind: "put"; readonly inputs: readonly string[] | undefined };

export interface PipelineCheck {
  /** The file's name, for messages. */
  readonly file: string;
  /** Names of resource types that are ours, besides those recognized by their name or image. */
  readonly types: readonly string[];
  /**
   * Further checks of params that have been read.
   * @throws UserError for params that a put or a task refuses although their schema accepts them
   */
  readonly checkParams: (params: PutParams, use: CheckedUse) => void;
}

/**
 * Checks a pipeline: every source and step that uses this resource is read as the resource itself will read it.
 * @throws UserError if the text isn't YAML
 */
export function checkPipeline(text: string, check: PipelineCheck): CheckedPipeline {
  const uses = findUses(readYaml(text, check.file), check.types);
  const counts = { source: 0, put: 0, get: 0, task: 0 };
  const faults = new Map<string, PipelineFault>();
  for (const use of uses) {
    counts[use.kind]++;
    for (const { line, column, message } of faultsOf(use, check)) {
      const fault = { line, column, message: `${use.subject}: ${message}` };
      faults.set(JSON.stringify(fault), fault);
    }
  }
  const inOrder = [...faults.values()].toSorted((a, b) => a.line - b.line || a.column - b.column);
  return { counts, faults: inOrder };
}

function faultsOf(use: Use, { checkParams }: PipelineCheck): PipelineFault[] {
  const { kind, given } = use;
  const subject = kind === "source" ? "source" : "params";
  const whole = given.filter((part) => !isVariable(part));
  // If one part is a variable, it may hold the fields that are missing in the others.
  if (whole.length < given.length || whole.length === 0) return [];
  const odd = whole.find((part) => part.kind !== "map" && plainValue(part) !== null);
  if (odd !== undefined) {
    return [{ ...placeIn(odd), message: `${subject}: expected a map, found ${jsonKindOf(plainValue(odd))}` }];
  }
  const node = merged(whole);
  const found = certainFaults(
    node,
    (value) => read(use, value as Readonly<Record<string, unknown>>, checkParams),
    (message) => pathIn(node, message, subject),
  );
  const odds = oddNames(node, subject);
  // At the place of an odd name only its own fault is reported. The other fault would show the name as YAML reads
  // it, and the step doesn't know how it was written.
  const others = found
    .map(({ path, message }) => ({ ...locate(node, path), message }))
    .filter(({ line, column }) => !odds.some((name) => name.line === line && name.column === column));
  return [...others, ...odds, ...(kind === "task" ? strangersOf(node) : [])];
}

function placeIn({ line, column }: Position): Position {
  return { line, column };
}

function merged(parts: readonly Located[]): Located {
  const [first] = parts;
  if (first === undefined) throw new Error("nothing to merge");
  const entries = parts.flatMap((part) => (part.kind === "map" ? [...part.entries] : []));
  return { ...placeIn(first), kind: "map", entries: new Map(entries) };
}

/** @throws UserError with what is wrong */
function read(
  { kind, inputs }: Use,
  value: Readonly<Record<string, unknown>>,
  checkParams: PipelineCheck["checkParams"],
): void {
  switch (kind) {
    case "source":
      readSource(value);
      return;
    case "get":
      readGetParams(value);
      return;
    case "put":
      checkParams(readPutParams(value), { kind, inputs });
      return;
    case "task": {
      const env = asEnvironment(value);
      checkParams(readTaskParams(env), { kind });
      readTaskVariables(env);
      readRegistriesOf(env);
    }
  }
}

/** Same as `readTaskRegistries`, but synchronous. */
function readRegistriesOf({ [registriesVariable]: text = "" }: Readonly<Record<string, string>>): void {
  if (text.trim() === "") return;
  const document = parseDocument(text);
  if (document.errors.length > 0)
    throw new UserError(
      `${registriesVariable}: expected YAML or JSON, such as {registry.example: {username: …}}`,
    );
  readRegistries(document.toJS(), registriesVariable);
}

/** Variables that a task reads besides its params. */
const otherVariables: readonly string[] = [
  registriesVariable,
  ...Object.keys(taskVariables),
  "DOCKER_CONFIG",
];

/** A task's params as they appear in its environment: texts as they are, other values as JSON. */
function asEnvironment(params: Readonly<Record<string, unknown>>): Record<string, string> {
  const entries = Object.entries(params).map(([name, value]) => {
    if (value === null) return [name, ""];
    return [name, typeof value === "string" ? value : JSON.stringify(value)];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}

/** Names that YAML doesn't read as text: `N: 1` is read as `false: 1`. */
function oddNames(node: Located, place: string): PipelineFault[] {
  if (node.kind === "list") return node.items.flatMap((item) => oddNames(item, place));
  if (node.kind === "scalar") return [];
  return [...node.entries].flatMap(([name, entry]) => {
    const within = oddNames(entry.node, `${place}.${name}`);
    if (entry.written === undefined || entry.written === name) return within;
    const message = `${place}: YAML reads the name ${entry.written} as ${name}: put it in quotes`;
    return [{ ...placeIn(entry.at), message }, ...within];
  });
}

/** Params that a task doesn't read, but that resemble some that it does. */
function strangersOf(node: Located): PipelineFault[] {
  if (node.kind !== "map") return [];
  const upper = Object.values(taskForms)
    .flat()
    .map((form) => (form.kind === "whole" ? form.name : `${form.prefix}*`));
  return [...node.entries].flatMap(([name, entry]) => {
    if (findForm(name, taskForms) !== undefined || otherVariables.includes(name)) return [];
    const typed = Object.hasOwn(taskForms, name) ? (taskForms[name] ?? []) : undefined;
    const near = typed === undefined ? suggestName(name, [...upper, ...otherVariables]) : undefined;
    if (typed === undefined && near === undefined) return [];
    const forms = typed?.map((form) => (form.kind === "whole" ? form.name : `${form.prefix}*`)) ?? [near];
    const hint = forms.length === 0 ? "that is a param of puts alone" : `did you mean ${forms.join(" or ")}?`;
    return [{ ...placeIn(entry.at), message: `params: the task doesn't read ${name}; ${hint}` }];
  });
}

/** The path that a message begins with: `source.registries.host.example: …`. Names in it may contain dots. */
function pathIn(node: Located, message: string, subject: string): readonly PropertyKey[] {
  const path: PropertyKey[] = [];
  let current: Located | undefined = node;
  let rest = message.startsWith(subject) ? message.slice(subject.length) : `.${message}`;
  while (current !== undefined) {
    const [name, next] = longestPart(current, rest);
    if (name === undefined) break;
    path.push(name);
    rest = rest.slice(
      typeof name === "number" && rest.startsWith("[") ? `[${name}]`.length : `.${name}`.length,
    );
    current = next;
  }
  return path;
}

function longestPart(
  node: Located,
  rest: string,
): readonly [string | number | undefined, Located | undefined] {
  const parts: readonly (readonly [string | number, Located])[] =
    node.kind === "map"
      ? Array.from(node.entries, ([name, entry]) => [name, entry.node] as const)
      : node.kind === "list"
        ? [...node.items.entries()]
        : [];
  const fits = parts.filter(([name]) => rest.startsWith(`.${name}`) || rest.startsWith(`[${name}]`));
  const ends = fits.filter(
    ([name]) => /^($|[.:\s[])/.test(rest.slice(`.${name}`.length)) || rest.startsWith("["),
  );
  return ends.toSorted(([a], [b]) => String(b).length - String(a).length)[0] ?? [undefined, undefined];
}

/**
 * The position that a path leads to. If a part of the path doesn't exist, the position of the last part that does.
 */
function locate(node: Located, path: readonly PropertyKey[]): Position {
  let place: Position = node;
  let current: Located | undefined = node;
  for (const [index, part] of path.entries()) {
    const next: Entry | Located | undefined =
      current?.kind === "map"
        ? (current.entries.get(String(part)) ?? (index === 0 ? upperEntry(current, path) : undefined))
        : current?.kind === "list"
          ? current.items[Number(part)]
          : undefined;
    if (next === undefined) break;
    place = "at" in next ? next.at : next;
    current = "at" in next ? next.node : next;
  }
  return placeIn(place);
}

/** The entry whose upper-case name set a snake_case param. */
function upperEntry(node: Located, [param, key]: readonly PropertyKey[]): Entry | undefined {
  if (node.kind !== "map") return undefined;
  const given = [...node.entries].filter(([name]) => findForm(name, taskForms)?.param === param);
  return (given.find(([name]) => name.endsWith(`_${String(key)}`)) ?? given[0])?.[1];
}
