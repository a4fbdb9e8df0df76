/** Maps whose keys are free names. In these, `a` and `A` are different keys, also for readers in Go. */
const maps: ReadonlySet<string> = new Set(["annotations", "Labels", "ExposedPorts", "Volumes"]);

interface OpenValue {
  /** The keys so far, with case folded unless `isMap`; undefined in a list. */
  readonly keys: Set<string> | undefined;
  readonly isMap: boolean;
  /** The last key. */
  key: string;
}

/**
 * Returns the first key of a JSON text that readers may understand in two ways, or undefined. Such a key either
 * occurs twice in one object, or differs from another key only in case. Go's encoding/json takes two such keys for
 * the same field.
 * @param text valid JSON: JSON.parse accepts it
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

/** Folds case like Go, including the Kelvin sign and the long s (encoding/json, fold.go). */
function folded(key: string): string {
  return key.toUpperCase().toLowerCase();
}
