type Directive = "syntax" | "escape" | "check";

/**
 * The value of a parser directive of a Dockerfile, such as `# syntax=` (Dockerfile reference, "Parser directives").
 * Empty if there is none. Directives come before all other lines (BuildKit, frontend/dockerfile/parser/directives.go).
 */
export function parserDirective(text: string, wanted: Directive): string {
  const whole = text.replace(/^\uFEFF/, "");
  // What reads `escape` takes a "#!" line for a comment, after which there are no directives.
  const lines = (wanted === "escape" ? whole : whole.replace(/^#!.*\n?/, "")).split("\n");
  const value = valueIn(lines, /^#\s*(syntax|escape|check)\s*=\s*(.+?)\s*$/i, wanted);
  if (value !== "" || wanted !== "syntax") return value;
  // A frontend's language may have other comments.
  return valueIn(lines, /^\/\/\s*(syntax|escape|check)\s*=\s*(.+?)\s*$/i, wanted);
}

function valueIn(lines: readonly string[], directive: RegExp, wanted: Directive): string {
  for (const line of lines) {
    const [, name, value = ""] = directive.exec(line) ?? [];
    if (name === undefined) return "";
    if (name.toLowerCase() === wanted) return value;
  }
  return "";
}

/**
 * The text without the `# check=` comments of single instructions, with as many lines and the same directives.
 */
export function withoutCheckComments(text: string): string {
  const lines = text.split("\n");
  const found = lines.findIndex((line) => !/^\uFEFF?#\s*(syntax|escape|check)\s*=/i.test(line));
  const directives = found === -1 ? lines.length : found;
  const rest = lines.slice(directives).map((line) => line.replace(/^(\s*#\s*check\s*)=/i, "$1 "));
  return [...lines.slice(0, directives), ...rest].join("\n");
}
