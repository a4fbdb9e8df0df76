/**
 * The value of a parser directive of a Dockerfile, such as `# syntax=` (Dockerfile reference, "Parser directives").
 * Empty if there is none. Directives come before all other lines.
 */
export function parserDirective(text: string, wanted: "syntax" | "escape" | "check"): string {
  const lines = text
    .replace(/^\uFEFF/, "")
    .replace(/^#!.*\n?/, "")
    .split("\n");
  for (const line of lines) {
    const [, name, value = ""] = /^#\s*(syntax|escape|check)\s*=\s*(.+?)\s*$/i.exec(line) ?? [];
    if (name === undefined) return "";
    if (name.toLowerCase() === wanted) return value;
  }
  return "";
}
