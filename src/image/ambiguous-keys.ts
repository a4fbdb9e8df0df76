/** Maps of free names: there `a` and `A` are two, for readers in Go as well. */
const maps: ReadonlySet<string> = new Set(["annotations", "Labels", "ExposedPorts", "Volumes"]);

interface OpenValue {
  /** Keys so far, as readers in Go may take them; undefined in a list. */
  readonly keys: Set<string> | undefined;
  readonly isMap: boolean;
  /** The last key. */
  key: string;
}

/**
 * The first key of a JSON text that readers may understand in two ways: given twice in one object, or apart from
 * another by case alone, which Go's encoding/json takes for the same field. Undefined when there is none.
 * @param text JSON, as JSON.parse takes it
 */
export function ambiguousKey(text: string): string | undefined {
  const open: OpenValue[] = [];
  const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]]/g;
  for (let token = tokens.exec(text); token !== null; token = tokens.exec(text)) {
    const [found] = token;
    const inside = open.at(-1);
    if (found === "{" || found === "[") {
      const isMap = inside !== undefined && maps.has(inside.key);
      open.push({ keys: found === "{" ? new Set() : undefined, isMap, key: "" });
    } else if (found === "}" || found === "]") {
      open.pop();
    } else if (inside?.keys !== undefined && isKey(text, tokens.lastIndex)) {
      inside.key = JSON.parse(found) as string;
      const taken = inside.isMap ? inside.key : folded(inside.key);
      if (inside.keys.has(taken)) return inside.key;
      inside.keys.add(taken);
    }
  }
  return undefined;
}

/** Whether the string that ends here is followed by a colon. */
function isKey(text: string, end: number): boolean {
  const colon = /\s*:/y;
  colon.lastIndex = end;
  return colon.test(text);
}

/** Go folds the Kelvin sign and the long s too (encoding/json, fold.go). */
function folded(key: string): string {
  return key.toUpperCase().toLowerCase();
}
