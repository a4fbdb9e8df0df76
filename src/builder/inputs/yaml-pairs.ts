import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Scalar } from "yaml";

/** The result of parsing a text as a YAML map of names to scalars. Plain data, so that a thread can post it. */
export type ParsedYaml =
  | { readonly kind: "pairs"; readonly pairs: readonly YamlPair[] }
  | { readonly kind: "refused"; readonly line: number | undefined; readonly why: string };

export interface YamlPair {
  readonly name: string;
  readonly value: string;
  readonly line: number;
}

/** Parses the first document of a YAML (or JSON) text. Names may occur twice. Pure, in linear time. */
export function parseYamlPairs(text: string): ParsedYaml {
  const lines = new LineCounter();
  // `uniqueKeys` is off because the library compares keys in quadratic time.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const lineOf = (offset: number | undefined) => (offset === undefined ? 1 : lines.linePos(offset).line);
  const refused = (offset: number | undefined, why: string): ParsedYaml => ({
    kind: "refused",
    line: lineOf(offset),
    why,
  });
  const error = document.errors.find(({ code }) => code !== "MULTIPLE_DOCS");
  if (error !== undefined) {
    return refused(
      error.pos[0],
      `expected YAML; the parser found: ${error.code.toLowerCase().replaceAll("_", " ")}`,
    );
  }
  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null))
    return { kind: "pairs", pairs: [] };
  if (!isMap(contents)) {
    return { kind: "refused", line: undefined, why: "expected a YAML map of names to values" };
  }
  const anchors: Anchors = new Map();
  const pairs: YamlPair[] = [];
  for (const { key, value } of contents.items) {
    const name = scalarText(key, anchors);
    const offset = key?.range?.[0];
    if (name === undefined || name === "") return refused(offset, "expected a plain name before the colon");
    const string = scalarText(value, anchors);
    if (string === undefined) {
      return refused(
        value?.range?.[0] ?? offset,
        `${name}: expected a string, a number or a boolean, found ${yamlKindOf(value, anchors)}; to pass JSON, put it in quotes`,
      );
    }
    pairs.push({ name, value: string, line: lineOf(offset) });
  }
  return { kind: "pairs", pairs };
}

/** The scalars with an anchor so far. The library would search the whole document for each alias. */
type Anchors = Map<string, Scalar>;

function scalarText(node: unknown, anchors: Anchors): string | undefined {
  if (node === null) return "";
  const scalar = isAlias(node) ? anchors.get(node.source) : node;
  if (!isScalar(scalar)) return undefined;
  if (scalar.anchor !== undefined) anchors.set(scalar.anchor, scalar);
  if (scalar.value === null) return "";
  return typeof scalar.value === "string" ? scalar.value : scalar.source;
}

function yamlKindOf(node: unknown, anchors: Anchors): string {
  if (isMap(node)) return "a map";
  if (isSeq(node)) return "a list";
  if (isAlias(node) && !anchors.has(node.source)) return "an alias of a list, of a map, or of no such anchor";
  return "something else";
}
