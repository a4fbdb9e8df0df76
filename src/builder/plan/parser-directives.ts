type DirectiveName = "syntax" | "escape" | "check";
type CommentSign = "#" | "//";

interface Directive {
  readonly name: DirectiveName;
  readonly value: string;
}

/**
 * The value of a parser directive of a Dockerfile, such as `# syntax=` (Dockerfile reference, "Parser directives").
 * Empty if there is none. Directives come before all other lines (BuildKit, frontend/dockerfile/parser/directives.go).
 * Pure.
 */
export function parserDirective(text: string, wanted: DirectiveName): string {
  const whole = withoutMark(text);
  // What reads `escape` takes a "#!" line for a comment, after which there are no directives.
  const lines = (wanted === "escape" ? whole : whole.replace(/^#!.*\n?/, "")).split("\n");
  // A frontend's language may have other comments.
  const signs: readonly CommentSign[] = wanted === "syntax" ? ["#", "//"] : ["#"];
  const found = signs.flatMap((sign) => directivesAt(lines, sign)).find(({ name }) => name === wanted);
  return found?.value ?? "";
}

/**
 * The text without the `# check=` comments of single instructions, with as many lines and the same directives. Pure.
 */
export function withoutCheckComments(text: string): string {
  const lines = text.split("\n");
  const { length } = directivesAt(withoutMark(text).split("\n"), "#");
  const rest = lines
    .slice(length)
    .map((line) => (readDirective(line.trimStart(), "#")?.name === "check" ? line.replace("=", " ") : line));
  return [...lines.slice(0, length), ...rest].join("\n");
}

function withoutMark(text: string): string {
  return text.replace(/^\uFEFF/, "");
}

/** The directives that some lines begin with: as many as lines before the first that is none. */
function directivesAt(lines: readonly string[], sign: CommentSign): readonly Directive[] {
  const found: Directive[] = [];
  for (const line of lines) {
    const directive = readDirective(line, sign);
    if (directive === undefined) break;
    found.push(directive);
  }
  return found;
}

/** The directive of a line. Without a value it is a comment. */
function readDirective(line: string, sign: CommentSign): Directive | undefined {
  if (!line.startsWith(sign)) return undefined;
  const [, name, value] = /^\s*(syntax|escape|check)\s*=\s*(.+?)\s*$/i.exec(line.slice(sign.length)) ?? [];
  return name === undefined || value === undefined
    ? undefined
    : { name: name.toLowerCase() as DirectiveName, value };
}
