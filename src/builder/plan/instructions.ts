import { orNone } from "../../host/or-none.ts";
import { parserDirective } from "./parser-directives.ts";

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
  // An escaped escape character doesn't continue a line.
  const continued = escapeCharacter(dockerfile) === "`" ? /(^|[^`])`[ \t]*$/ : /(^|[^\\])\\[ \t]*$/;
  const instructions: Instruction[] = [];
  for (let index = 0; index < lines.length; index++) {
    if (isSkipped(lines[index])) continue;
    let text = "";
    for (; index < lines.length; index++) {
      const line = lines[index] ?? "";
      if (text !== "" && isSkipped(line)) continue;
      text += line.replace(continued, "$1");
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

/** The character of the parser directive `# escape=` at the top of the file; by default a backslash. Pure. */
export function escapeCharacter(dockerfile: string): string {
  return parserDirective(dockerfile, "escape") || "\\";
}

function heredocsOf(name: string, rest: string): readonly { end: string; isIndented: boolean }[] {
  if (!/^(RUN|COPY|ADD|ONBUILD)$/i.test(name) || isExecForm(name, rest)) return [];
  return quotedWords(rest).flatMap((word) => {
    const [, dash, given = ""] = /^\d*<<(-?)\s*([^<]*)$/.exec(word) ?? [];
    const end = given.replaceAll(/"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/g, "$1$2$3");
    return end === "" ? [] : [{ end, isIndented: dash === "-" }];
  });
}

/** Whether an instruction has its words as a JSON array, in which `<<` has no meaning. */
function isExecForm(name: string, rest: string): boolean {
  const { words } = readFlags(name.toUpperCase() === "ONBUILD" ? rest.replace(/^\S+\s*/, "") : rest);
  return words.startsWith("[") && Array.isArray(orNone(() => JSON.parse(words)));
}

/** A line's words, split at blanks outside of quotes, quotes included. If a quote isn't closed, there are none. */
function quotedWords(line: string): readonly string[] {
  const word = /(?:"(?:\\.|[^"\\])*"|'[^']*'|\\(?:.|$)|[^\s"'\\])+/gs;
  return line.replaceAll(word, "").trim() === "" ? (line.match(word) ?? []) : [];
}

/**
 * Splits an instruction's text into its leading words that begin with `--`, and the rest. Quotes and escape characters
 * are removed as BuildKit does it (frontend/dockerfile/parser, extractBuilderFlags). Pure.
 */
export function readFlags(
  rest: string,
  escapeChar = "\\",
): { readonly flags: readonly string[]; readonly words: string } {
  const flags: string[] = [];
  let left = rest.trimStart();
  while (left.startsWith("--")) {
    const { word, length } = firstWord(left, escapeChar);
    left = left.slice(length).trimStart();
    if (word === "--") break;
    flags.push(word);
  }
  return { flags, words: left };
}

/** The fields of a `--mount`, by their names in lower case. Quotes of CSV aren't read. Pure. */
export function plainMountFields(mount: string): ReadonlyMap<string, string> {
  return new Map(
    mount.split(",").map((part) => {
      const [key = "", ...value] = part.split("=");
      return [key.trim().toLowerCase(), value.join("=")] as const;
    }),
  );
}

/** What a `--mount` mounts if that comes from the params: a secret or an SSH key, and its id. Pure. */
export function mountedParam(
  fields: ReadonlyMap<string, string>,
): { readonly param: "secrets" | "ssh"; readonly id: string } | undefined {
  const target = fields.get("target") ?? fields.get("dst") ?? fields.get("destination") ?? "";
  const type = fields.get("type");
  if (type === "ssh") return { param: "ssh", id: fields.get("id") ?? "default" };
  if (type !== "secret") return undefined;
  return { param: "secrets", id: fields.get("id") ?? target.slice(target.lastIndexOf("/") + 1) };
}

/** The first word of a text, without its quotes and escape characters, and how long it is with them. */
function firstWord(text: string, escapeChar: string): { readonly word: string; readonly length: number } {
  let word = "";
  let quote = "";
  let at = 0;
  for (; at < text.length; at++) {
    const character = text[at] ?? "";
    if (character === escapeChar) word += text[++at] ?? "";
    else if (quote !== "") {
      if (character === quote) quote = "";
      else word += character;
    } else if (/\s/.test(character)) break;
    else if (character === '"' || character === "'") quote = character;
    else word += character;
  }
  return { word, length: at };
}
