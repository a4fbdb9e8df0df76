import {
  type CollectionTag,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type ScalarTag,
  type Tags,
} from "yaml";
import { UserError } from "../../host/errors.ts";

/** Where something begins in a file. Both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A value of a YAML file and its position, with anchors and merge keys resolved. */
export type Located = Position &
  (
    | { readonly kind: "map"; readonly entries: ReadonlyMap<string, Entry> }
    | { readonly kind: "list"; readonly items: readonly Located[] }
    | {
        readonly kind: "scalar";
        readonly value: unknown;
        /** The value as it was written, if YAML reads it as a number or as true or false. */
        readonly written?: string | undefined;
        /** Whether it was written as `{{name}}`, a variable of old Concourses and of templates. */
        readonly isOldVariable?: boolean;
      }
  );

export interface Entry {
  /** The position of its name. */
  readonly at: Position;
  /** The name as it was written, if YAML doesn't read it as text: `N`, which YAML reads as a boolean. */
  readonly written: string | undefined;
  readonly node: Located;
}

/** Values that a file may have with its anchors resolved: more than any pipeline has, fewer than a YAML bomb. */
const mostValues = 200_000;

/** Deepest nesting of lists and maps. A list with an alias of itself has no end. */
const deepestNesting = 100;

const tooDeep = `this is nested over ${deepestNesting} levels deep, or contains itself by an alias`;

/**
 * Reads a pipeline as Concourse does, by YAML 1.1, in which `yes` and `N` are booleans.
 * @param file its name, for messages
 * @throws UserError with the position if the text isn't YAML, has too many values or is nested too deeply
 */
export function readYaml(text: string, file: string): Located {
  const counter = new LineCounter();
  const document = parseDocument(text, {
    version: "1.1",
    lineCounter: counter,
    prettyErrors: false,
    customTags: (tags) => tags.flatMap((tag): Tags => (typeof tag === "string" ? [tag] : asInGo(tag))),
  });
  const placeOf = (offset: number): Position => {
    const { line, col } = counter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const placed = ({ line, column }: Position): string => `${file}:${line}:${column}`;
  const [error] = document.errors;
  if (error !== undefined) {
    const isTooDeep = error.code === "RESOURCE_EXHAUSTION";
    const fault = isTooDeep ? tooDeep : `this is not YAML: ${error.message}`;
    throw new UserError(`${placed(placeOf(error.pos[0]))}: ${fault}`);
  }
  let values = 0;
  const read = (given: unknown, at: Position, depth: number): Located => {
    values++;
    if (values > mostValues) throw new UserError(`${file}: has over ${mostValues} values`);
    if (depth > deepestNesting) throw new UserError(`${placed(at)}: ${tooDeep}`);
    const node = isAlias(given) ? given.resolve(document) : (given as Node | null | undefined);
    const place = isAlias(given) || node?.range == null ? at : placeOf(node.range[0]);
    if (isSeq(node))
      return { ...place, kind: "list", items: node.items.map((item) => read(item, place, depth + 1)) };
    // As a variable it may stand for any value, so nothing else is told of it.
    if (isDoubleMap(node)) return { ...place, kind: "scalar", value: "((name))", isOldVariable: true };
    if (isMap(node)) return { ...place, kind: "map", entries: readEntries(node.items, place, depth + 1) };
    const value = isScalar(node) ? node.value : null;
    const written =
      isScalar(node) && (typeof value === "number" || typeof value === "boolean") ? node.source : undefined;
    return { ...place, kind: "scalar", value, written };
  };
  const readEntries = (
    pairs: readonly { key: unknown; value: unknown }[],
    at: Position,
    depth: number,
  ): ReadonlyMap<string, Entry> => {
    const own = new Map<string, Entry>();
    const merged = new Map<string, Entry>();
    for (const { key, value } of pairs) {
      const place = isScalar(key) && key.range != null ? placeOf(key.range[0]) : at;
      const node = read(value, place, depth);
      if (isScalar(key) && (key.value === "<<" || typeof key.value === "symbol")) {
        for (const source of node.kind === "list" ? node.items : [node]) {
          if (source.kind !== "map") continue;
          for (const [name, entry] of source.entries) if (!merged.has(name)) merged.set(name, entry);
        }
        continue;
      }
      const written = isScalar(key) && typeof key.value !== "string" ? key.source : undefined;
      own.set(isScalar(key) ? String(key.value) : "", { at: place, written, node });
    }
    return new Map([...merged, ...own]);
  };
  return read(document.contents, { line: 1, column: 1 }, 0);
}

/**
 * Makes a tag match as in Go's YAML, which Concourse uses: times such as `12:30` aren't numbers, there are no
 * dates, and a single dot is text.
 */
function asInGo(tag: CollectionTag | ScalarTag): (CollectionTag | ScalarTag)[] {
  if (tag.collection !== undefined || tag.test === undefined) return [tag];
  if (tag.format === "TIME" || tag.tag.endsWith(":timestamp")) return [];
  return [tag.test.test(".") ? { ...tag, test: /^[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)$/ } : tag];
}

/** Whether a node is `{{name}}`: a map whose only name is a map. */
function isDoubleMap(node: unknown): boolean {
  if (!isMap(node)) return false;
  const [only, ...more] = node.items;
  return only !== undefined && more.length === 0 && isMap(only.key) && only.value === null;
}

/** The value as plain JSON, without positions. */
export function plainValue(node: Located): unknown {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.items.map(plainValue);
  return Object.fromEntries(Array.from(node.entries, ([name, entry]) => [name, plainValue(entry.node)]));
}

/** The value that a map has under this name. */
export function entryOf(node: Located | undefined, name: string): Located | undefined {
  return node?.kind === "map" ? node.entries.get(name)?.node : undefined;
}

/** The text that a map has under this name. */
export function textOf(node: Located | undefined, name: string): string | undefined {
  const entry = entryOf(node, name);
  return entry?.kind === "scalar" && typeof entry.value === "string" ? entry.value : undefined;
}

/** The items of the list that a map has under this name. */
export function itemsOf(node: Located | undefined, name: string): readonly Located[] {
  const entry = entryOf(node, name);
  return entry?.kind === "list" ? entry.items : [];
}
