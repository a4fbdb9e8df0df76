/** One instruction of a Dockerfile. */
export interface Instruction {
  /** In upper case. */
  readonly name: string;
  /** The text after the name, with continued lines joined, without the content of heredocs. */
  readonly rest: string;
}

/**
 * A Dockerfile's instructions, split as BuildKit's parser does it (frontend/dockerfile/parser): the escape
 * character continues a line, comments and empty lines between them are dropped, and the heredocs of RUN, COPY,
 * ADD and ONBUILD are skipped. Pure.
 */
export function readInstructions(dockerfile: string): readonly Instruction[] {
  const lines = dockerfile.replace(/^\uFEFF/, "").split(/\r?\n/);
  const continued = escapeCharacter(lines) === "`" ? /`[ \t]*$/ : /\\[ \t]*$/;
  const instructions: Instruction[] = [];
  for (let index = 0; index < lines.length; index++) {
    if (isSkipped(lines[index])) continue;
    let text = "";
    for (; index < lines.length; index++) {
      const line = lines[index] ?? "";
      if (text !== "" && isSkipped(line)) continue;
      text += line.replace(continued, "");
      if (!continued.test(line)) break;
    }
    const [, name = "", rest = ""] = /^\s*(\S+)\s*(.*)$/s.exec(text) ?? [];
    instructions.push({ name: name.toUpperCase(), rest: rest.trimEnd() });
    for (const { end, isIndented } of heredocsOf(name, rest)) {
      const isEnd = (line = "") => (isIndented ? line.replace(/^\t+/, "") : line) === end;
      do index++;
      while (index < lines.length && !isEnd(lines[index]));
    }
  }
  return instructions;
}

function isSkipped(line = ""): boolean {
  return /^\s*(#|$)/.test(line);
}

/** The character of the parser directive `# escape=` at the top of the file; by default a backslash. */
function escapeCharacter(lines: readonly string[]): string {
  for (const line of lines) {
    const [, key = "", value = ""] = /^#\s*([A-Za-z]+)\s*=\s*(.+?)\s*$/.exec(line) ?? [];
    if (key === "") break;
    if (key.toLowerCase() === "escape") return value;
  }
  return "\\";
}

function heredocsOf(name: string, rest: string): readonly { end: string; isIndented: boolean }[] {
  if (!/^(RUN|COPY|ADD|ONBUILD)$/i.test(name)) return [];
  return Array.from(
    rest.matchAll(/(?:^|\s)\d*<<(-?)(["']?)([^\s<"']+)\2(?=\s|$)/g),
    ([, dash, , end = ""]) => ({
      end,
      isIndented: dash === "-",
    }),
  );
}

/**
 * Splits an instruction's text into its leading words that begin with `--`, and the rest. Quotes are removed as
 * BuildKit does it (frontend/dockerfile/parser, extractBuilderFlags). Pure.
 */
export function readFlags(rest: string): { readonly flags: readonly string[]; readonly words: string } {
  const flags: string[] = [];
  let left = rest.trimStart();
  for (;;) {
    const [whole = ""] = /^--(?:"[^"]*"|'[^']*'|\\.|[^\s"'])*/.exec(left) ?? [];
    if (whole === "" || whole === "--") return { flags, words: left };
    flags.push(whole.replaceAll(/"([^"]*)"|'([^']*)'/g, "$1$2"));
    left = left.slice(whole.length).trimStart();
  }
}
