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

/** Where something begins in a file, both from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A value of a YAML file and where it is, with anchors and merge keys followed. */
export type Located = Position &
  (
    | { readonly kind: "map"; readonly entries: ReadonlyMap<string, Entry> }
    | { readonly kind: "list"; readonly items: readonly Located[] }
    | { readonly kind: "scalar"; readonly value: unknown }
  );

export interface Entry {
  /** Where its name is. */
  readonly at: Position;
  /** As the file has it, where YAML reads it as something else than text: `N`, which is a boolean. */
  readonly written: string | undefined;
  readonly node: Located;
}

/** Values that a file may have once its anchors are followed: more than any pipeline, less than any bomb. */
const mostValues = 200_000;

/**
 * Reads a pipeline as Concourse does, whose YAML is of version 1.1: `yes` and `N` are booleans there.
 * @param file its name, for messages
 * @throws UserError for what isn't YAML, with the place
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
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, column } = placeOf(error.pos[0]);
    throw new UserError(`${file}:${line}:${column}: this is not YAML: ${error.message}`);
  }
  let values = 0;
  const read = (given: unknown, at: Position): Located => {
    values++;
    if (values > mostValues) throw new UserError(`${file}: has over ${mostValues} values`);
    const node = isAlias(given) ? given.resolve(document) : (given as Node | null | undefined);
    const place = isAlias(given) || node?.range == null ? at : placeOf(node.range[0]);
    if (isSeq(node)) return { ...place, kind: "list", items: node.items.map((item) => read(item, place)) };
    if (isMap(node)) return { ...place, kind: "map", entries: readEntries(node.items, place) };
    return { ...place, kind: "scalar", value: isScalar(node) ? node.value : null };
  };
  const readEntries = (pairs: readonly { key: unknown; value: unknown }[], at: Position) => {
    const own = new Map<string, Entry>();
    const merged = new Map<string, Entry>();
    for (const { key, value } of pairs) {
      const place = isScalar(key) && key.range != null ? placeOf(key.range[0]) : at;
      const node = read(value, place);
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
  return read(document.contents, { line: 1, column: 1 });
}

/** Go's YAML, which Concourse reads with, has neither times of the day as numbers nor dates; and a dot is a text. */
function asInGo(tag: CollectionTag | ScalarTag): (CollectionTag | ScalarTag)[] {
  if (tag.collection !== undefined || tag.test === undefined) return [tag];
  if (tag.format === "TIME" || tag.tag.endsWith(":timestamp")) return [];
  return [tag.test.test(".") ? { ...tag, test: /^[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)$/ } : tag];
}

/** The value as JSON has it. */
export function plainValue(node: Located): unknown {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.items.map(plainValue);
  return Object.fromEntries(Array.from(node.entries, ([name, entry]) => [name, plainValue(entry.node)]));
}

/** What a map has by this name. */
export function entryOf(node: Located | undefined, name: string): Located | undefined {
  return node?.kind === "map" ? node.entries.get(name)?.node : undefined;
}

/** The text that a map has by this name. */
export function textOf(node: Located | undefined, name: string): string | undefined {
  const entry = entryOf(node, name);
  return entry?.kind === "scalar" && typeof entry.value === "string" ? entry.value : undefined;
}

/** The items of a list that a map has by this name. */
export function itemsOf(node: Located | undefined, name: string): readonly Located[] {
  const entry = entryOf(node, name);
  return entry?.kind === "list" ? entry.items : [];
}
