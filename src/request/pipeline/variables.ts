import type { Fault } from "../faults.ts";
import type { PartlyRead } from "../read-json.ts";
import type { Located } from "./document.ts";

/** A variable as Concourse writes it (vars/template.go): `((name))`, `((source:path.field))`. */
const variable = /\(\((?:[-/.\p{L}\w]+:)?[-/.:@"\p{L}\w]+\)\)/gu;

/**
 * Values to try for a variable: first a plain text, then values of the forms that some fields require.
 * @param word a different word for each variable, so that two variables don't seem to have the same value
 */
function candidatesOf(word: string): readonly unknown[] {
  const texts = [`${word}.example/x`, `tcp://${word}.example:1`, `https://${word}.example`, `/${word}`];
  const words = [
    "1.2.3",
    "eu-west-1",
    "123456789012",
    "linux/amd64",
    "64m",
    "x=x",
    "max",
    "gzip",
    "none",
    "s3",
  ];
  return [word, true, 1, [], {}, [word], ["linux/amd64"], ...texts, ...words];
}

type Path = readonly PropertyKey[];

/** Whether the whole value is a variable. */
export function isVariable(node: Located): boolean {
  return (
    node.kind === "scalar" &&
    typeof node.value === "string" &&
    node.value.replace(variable, "") === "" &&
    node.value !== ""
  );
}

function hasVariable(text: string): boolean {
  return text.search(variable) !== -1;
}

/**
 * What a value is and which faults it has, whatever its variables stand for.
 * @param read reads a value as far as it has no faults
 * @param placeOf the place that a path of the value sets, if its first name is another form of a field
 */
export function certainly<T>(
  node: Located,
  read: (value: unknown) => PartlyRead<T>,
  placeOf: (path: Path) => Path,
): PartlyRead<T> {
  const unknown = [...variablePlaces(node)];
  const chosen = new Map<string, unknown>();
  let found = read(filled(node, chosen));
  for (const { path, isWhole, text } of unknown) {
    if (!isWhole || !found.faults.some((fault) => mayCause(path, fault, placeOf))) continue;
    for (const candidate of candidatesOf(wordFor(text))) {
      const tried = new Map([...chosen, [keyOf(path), candidate]]);
      const next = read(filled(node, tried));
      if (next.faults.some((fault) => mayCause(path, fault, placeOf))) continue;
      chosen.set(keyOf(path), candidate);
      found = next;
      break;
    }
  }
  const faults = found.faults.filter((fault) => !unknown.some(({ path }) => mayCause(path, fault, placeOf)));
  return { value: found.value, faults };
}

/** The fields of a value that hold variables. */
export function variableFields(node: Located): ReadonlySet<string> {
  return new Set(Array.from(variablePlaces(node), ({ path }) => String(path[0])));
}

/**
 * Whether a variable at this path may be the cause of a fault. A wrong name is a fault whatever the variable's
 * value is.
 */
function mayCause(path: Path, fault: Fault, placeOf: (path: Path) => Path): boolean {
  const [own, place] = [placeOf(fault.path), placeOf(path)];
  if (fault.kind === "name" && own.length <= place.length) return false;
  const isOfRule = fault.involves !== undefined;
  if (isOfRule && place[0] !== own[0] && fault.involves.of.includes(String(place[0]))) return true;
  return startsWith(own, place) || ((isOfRule || fault.kind === "choice") && startsWith(place, own));
}

function startsWith(long: Path, short: Path): boolean {
  return short.every((part, index) => String(long[index]) === String(part));
}

function keyOf(path: Path): string {
  return JSON.stringify(path.map(String));
}

interface VariablePlace {
  readonly path: Path;
  /** Whether the variable is the whole text. */
  readonly isWhole: boolean;
  readonly text: string;
}

/** A word for a text: always the same for the same text, and very rarely the same for another. */
function wordFor(text: string): string {
  let sum = 0;
  for (const character of text) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 1_000_003;
  return `x${sum}`;
}

/** Where a value contains variables, as a whole text or as a part of one. */
function* variablePlaces(node: Located, path: Path = []): Generator<VariablePlace> {
  if (node.kind === "map") {
    for (const [name, entry] of node.entries) {
      if (!hasVariable(name)) yield* variablePlaces(entry.node, [...path, name]);
    }
  } else if (node.kind === "list") {
    for (const [index, item] of node.items.entries()) yield* variablePlaces(item, [...path, index]);
  } else if (typeof node.value === "string" && hasVariable(node.value)) {
    yield { path, isWhole: isVariable(node), text: node.value };
  }
}

/** The value with its variables filled in. Entries whose name contains a variable are left out. */
function filled(node: Located, chosen: ReadonlyMap<string, unknown>, path: Path = []): unknown {
  if (node.kind === "list") return node.items.map((item, index) => filled(item, chosen, [...path, index]));
  if (node.kind === "map") {
    const known = [...node.entries].filter(([name]) => !hasVariable(name));
    return Object.fromEntries(
      known.map(([name, entry]) => [name, filled(entry.node, chosen, [...path, name])]),
    );
  }
  if (isVariable(node) && chosen.has(keyOf(path))) return chosen.get(keyOf(path));
  return typeof node.value === "string" ? node.value.replaceAll(variable, wordFor) : node.value;
}
