import { suggestName } from "../../host/suggest.ts";
import { jsonKindOf } from "../faults.ts";
import { namesOfTask } from "../names-of-task.ts";
import { parseYamlText } from "../parse-yaml.ts";
import { taskForms } from "../put-params.ts";
import { type PartlyRead, placesBelow, thrownFaults } from "../read-json.ts";
import { type PutRequest, paramsPartly, readGetParams, sourcePartly } from "../read-parts.ts";
import type { Rule } from "../rules.ts";
import type { Source } from "../source.ts";
import { usualName, withUsualNames } from "../task-names.ts";
import { ownVariables, readTask, type TaskReading } from "../task-params.ts";
import { findForm, formName } from "../task-syntax.ts";
import { insteadOfVariable } from "../unread-variables.ts";
import { changedTexts } from "./changed-texts.ts";
import { type Entry, type Located, type Position, plainValue, readYaml } from "./document.ts";
import { findUses, type Use } from "./find-uses.ts";
import { otherTemplates, yttLine } from "./other-templates.ts";
import { certainly, isVariable, variableFields } from "./variables.ts";

/** One thing that is wrong in a pipeline. */
export interface PipelineFault extends Position {
  /** For example: `job build, put web: params: there is no param "contxt"` */
  readonly message: string;
}

/** The rules that hold for the uses of this resource. */
export interface UseRules {
  readonly ofSource: readonly Rule<Source>[];
  /** @param inputs those that the put lists, if it does */
  readonly ofPut: (inputs: readonly string[] | undefined) => readonly Rule<PutRequest>[];
  readonly ofTask: Omit<TaskReading, "parseYaml">;
}

export interface CheckedPipeline {
  /** Number of uses of each kind that were found and checked. */
  readonly counts: Readonly<Record<Use["kind"], number>>;
  /** In the order of the file. */
  readonly faults: readonly PipelineFault[];
  /** What only causes a warning, in the order of the file. */
  readonly warnings: readonly PipelineFault[];
}

export interface PipelineCheck {
  /** The file's name, for messages. */
  readonly file: string;
  /** Names of resource types that are ours, besides those recognized by their name or image. */
  readonly types: readonly string[];
  /** The rules that the resource's commands check, and advice, which is given where there is no fault. */
  readonly rules: UseRules;
}

/**
 * Checks a pipeline: every source and step that uses this resource is read as the resource itself will read it.
 * @throws UserError if the text isn't YAML
 */
export function checkPipeline(text: string, check: PipelineCheck): CheckedPipeline {
  const uses = findUses(readYaml(text, check.file), check.types);
  const counts = { source: 0, put: 0, get: 0, task: 0 };
  const faults: PipelineFault[] = [];
  const warnings: PipelineFault[] = [];
  const ytt = uses.length === 0 ? undefined : yttLine(text);
  if (ytt !== undefined) {
    const message = `"#@" is an expression of ytt, and a comment in YAML: give validate the file that ytt makes of this one`;
    warnings.push({ line: ytt, column: 1, message });
  }
  const told = new Set<string>();
  // Of what is wrong with a text by itself, all uses that share it would say the same.
  const isFirst = ({ line, column }: Position): boolean => told.size < told.add(`${line}:${column}`).size;
  for (const use of uses) {
    counts[use.kind]++;
    const placeOf = placesIn(use);
    const others = use.given
      .flatMap((part) => otherTemplates(part, placeOf))
      .map((other) => ({ ...other, message: `${use.subject}: ${other.message}` }));
    const unreadable = others.filter(({ isUnreadable }) => isUnreadable);
    const found = faultsOf(use, check.rules);
    const refused = found.filter(({ isAdvice }) => !isAdvice);
    const wrong = [...unreadable, ...refused];
    faults.push(...[...unreadable.filter(isFirst), ...refused].map(asTold));
    if (wrong.length === 0) warnings.push(...found.map(asTold));
    const doubts = [...others.filter(({ isUnreadable }) => !isUnreadable), ...changesIn(use, placeOf, wrong)];
    warnings.push(...doubts.filter(isFirst).map(asTold));
  }
  return { counts, faults: sortedByPlace(faults), warnings: sortedByPlace(warnings) };
}

function asTold({ line, column, message }: PipelineFault): PipelineFault {
  return { line, column, message };
}

/** In the order of the file. What an anchor brings to several places is there once. */
function sortedByPlace(faults: readonly PipelineFault[]): readonly PipelineFault[] {
  const different = new Map(faults.map((fault) => [JSON.stringify(fault), fault]));
  return [...different.values()].toSorted((a, b) => a.line - b.line || a.column - b.column);
}

/** How messages name a place in what a use is given. */
type PlaceOf = (path: readonly PropertyKey[]) => string;

function placesIn({ kind, field, given }: Use): PlaceOf {
  const below = placesBelow(kind === "source" ? "source" : (field ?? "params"));
  if (kind !== "task") return below;
  const names = given.flatMap((part) => (part.kind === "map" ? [...part.entries.keys()] : []));
  const { place } = namesOfTask(Object.fromEntries(names.map((name) => [name, ""])));
  return (path) => {
    const [name] = path;
    if (name === undefined) return below(path);
    // A variable itself, and a name that is no variable of the task, are told as they were written.
    const isWithin = path.length > 1 && findForm(String(name), taskForms) !== undefined;
    return isWithin ? place(placeInSnake(path)) : path.map(String).join(".");
  };
}

interface FoundFault extends PipelineFault {
  readonly isAdvice?: true | undefined;
}

function faultsOf(use: Use, rules: UseRules): FoundFault[] {
  const { kind, given } = use;
  const subject = kind === "source" ? "source" : (use.field ?? "params");
  const whole = given.filter((part) => !isVariable(part));
  // If one part is a variable, it may hold the fields that are missing in the others.
  if (whole.length < given.length || whole.length === 0) return [];
  const odd = whole.find((part) => part.kind !== "map" && plainValue(part) !== null);
  if (odd !== undefined) {
    const message = `${use.subject}: ${subject}: expected a map, found ${jsonKindOf(plainValue(odd))}`;
    return [{ ...placeIn(odd), message }];
  }
  const node = merged(whole);
  const { faults: found } = certainly<unknown>(node, reader(use, rules), placeInSnake);
  const odds = oddNames(node, placesIn(use));
  // At the place of an odd name only its own fault is reported. The other fault would show the name as YAML reads
  // it, and the step doesn't know how it was written.
  const others = found
    .map(({ path, message, isAdvice }) => ({ ...locate(node, path), message, isAdvice }))
    .filter(({ line, column }) => !odds.some((name) => name.line === line && name.column === column));
  const all: readonly FoundFault[] = [...others, ...odds, ...(kind === "task" ? strangersOf(node) : [])];
  return all.map((fault) => ({ ...fault, message: `${use.subject}: ${fault.message}` }));
}

/** What YAML makes of values that stand for texts. Where a fault is told, it is left out. */
function changesIn(
  { kind, given, subject }: Use,
  placeOf: PlaceOf,
  faults: readonly PipelineFault[],
): PipelineFault[] {
  return given
    .flatMap((part) => changedTexts(part, kind, placeOf))
    .filter(({ line, column }) => !faults.some((fault) => fault.line === line && fault.column === column))
    .map((change) => ({ ...change, message: `${subject}: ${change.message}` }));
}

/** The place among the snake_case params that a path of params in either form sets: `BUILD_ARG_A` is `build_args`, `A`. */
function placeInSnake(path: readonly PropertyKey[]): readonly PropertyKey[] {
  const [first, ...rest] = path;
  const name = String(first);
  const found = findForm(name, taskForms);
  if (found === undefined) return path;
  const { param, form } = found;
  return form.kind === "whole" ? [param, ...rest] : [param, name.slice(form.prefix.length), ...rest];
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

/** How the resource reads what is given in this place. */
function reader(
  { kind, field, inputs, source = [] }: Use,
  { ofSource, ofPut, ofTask }: UseRules,
): (value: unknown) => PartlyRead<unknown> {
  if (kind === "source") return (value) => sourcePartly(value, ofSource);
  if (kind === "get") return (value) => thrownFaults(() => readGetParams(value, field));
  if (kind === "put") {
    const { known, unsure } = knownSource(source);
    // A rule can't rely on fields of the source that are unknown.
    const rules = ofPut(inputs).filter(({ ofSource: names = [] }) => !names.some((name) => unsure.has(name)));
    return (value) => paramsPartly(value as Readonly<Record<string, unknown>>, known, rules);
  }
  return (value) => {
    const env = asEnvironment(value as Readonly<Record<string, unknown>>);
    return thrownFaults(() => readTask(withUsualNames(env), { ...ofTask, parseYaml: parseYamlText }));
  };
}

/** What is known of a put's source, and its fields that hold variables. */
function knownSource(given: readonly Located[]): {
  readonly known: PartlyRead<Source>;
  readonly unsure: ReadonlySet<string>;
} {
  if (given.length === 0 || given.some((part) => part.kind !== "map"))
    return { known: { value: undefined, faults: [] }, unsure: new Set() };
  const node = merged(given);
  return {
    known: certainly(node, (value) => sourcePartly(value), placeInSnake),
    unsure: variableFields(node),
  };
}

/** Variables that a task's author may set besides those of params. */
const otherVariables: readonly string[] = [...ownVariables, "DOCKER_CONFIG"];

/** A task's params as they appear in its environment: texts as they are, other values as JSON. */
function asEnvironment(params: Readonly<Record<string, unknown>>): Record<string, string> {
  const entries = Object.entries(params).map(([name, value]) => {
    if (value === null) return [name, ""];
    return [name, typeof value === "string" ? value : JSON.stringify(value)];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}

/** Names that YAML doesn't read as text: `N: 1` is read as `false: 1`. */
function oddNames(node: Located, placeOf: PlaceOf, path: readonly PropertyKey[] = []): PipelineFault[] {
  if (node.kind === "list")
    return node.items.flatMap((item, index) => oddNames(item, placeOf, [...path, index]));
  if (node.kind === "scalar") return [];
  return [...node.entries].flatMap(([name, entry]) => {
    const within = oddNames(entry.node, placeOf, [...path, name]);
    if (entry.written === undefined || entry.written === name) return within;
    const message = `${placeOf(path)}: YAML reads the name ${entry.written} as ${name}: put it in quotes`;
    return [{ ...placeIn(entry.at), message }, ...within];
  });
}

/** Params that a task doesn't read, but that resemble some that it does. */
function strangersOf(node: Located): PipelineFault[] {
  if (node.kind !== "map") return [];
  const upper = Object.values(taskForms).flat().map(formName);
  return [...node.entries].flatMap(([name, entry]) => {
    if (findForm(usualName(name), taskForms) !== undefined || otherVariables.includes(name)) return [];
    const near = suggestName(name, [...upper, ...otherVariables]);
    const hint = insteadOfVariable(name) ?? (near === undefined ? undefined : `did you mean ${near}?`);
    if (hint === undefined) return [];
    return [{ ...placeIn(entry.at), message: `params: the task doesn't read ${name}; ${hint}` }];
  });
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
  const own = given.find(([name]) => name.endsWith(`_${String(key)}`));
  const list = given.find(([name]) => findForm(name, taskForms)?.form.kind === "whole");
  return (own ?? list ?? given[0])?.[1];
}
