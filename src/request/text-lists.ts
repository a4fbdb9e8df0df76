import { UserError } from "../host/errors.ts";
import { idPattern } from "./scalars.ts";

/**
 * Several values in one text, as the oci-build task has them in one variable. They are separated by commas, as there,
 * or stand one a line, as people write them below `BUILD_ARGS: |`.
 */

/** `a, b` → `["a", "b"]`, for values without blanks. Empty parts are skipped. */
export function splitList(text: string): string[] {
  return text.split(/[\s,]+/).filter((part) => part !== "");
}

/** The name that a line's pair can begin with, as a regular expression: no URL, no base64, nothing in quotes. */
export const lineName = String.raw`[A-Za-z_][\w.-]*(?:[:/@][\w.-]+)*`;

/** A line that begins with a pair. A base64 text may end in `==`, so that is no value. */
const linePair = new RegExp(`^\\s*${lineName}=(?!=\\s*(?:,|$))`);

const wanted = "expected name=value, separated by commas or one a line, or a map";

/**
 * `a=1,b=x y` → `{a: "1", b: "x y"}`, where a value can't contain a comma but between braces, as in the oci-build task.
 * With one pair a line it can. If a name is given twice, the last counts, as in BuildKit.
 * @throws UserError naming the variable
 */
export function readPairList(text: string, name: string): Record<string, string> {
  return Object.fromEntries(
    pairsIn(text, name).map((part) => {
      const equals = part.indexOf("=");
      const key = part.slice(0, Math.max(equals, 0)).trimStart();
      if (key === "" || key === "__proto__") {
        const isYaml = /^\s*[\w.-]+:(\s|$)/.test(part);
        throw new UserError(
          `${name}: ${wanted}; found ${isYaml ? 'name: value in a text, which is no map: write "=" instead of ":", or the map without "|" or quotes around it' : 'a part without a name or without "="'}`,
        );
      }
      if (/\s/.test(key))
        throw new UserError(
          `${name}: ${wanted}; found a blank in a name, or before a "=": remove it, or write a map`,
        );
      return [key, part.slice(equals + 1)];
    }),
  );
}

/**
 * The pairs of a text. It is read as the oci-build task reads it unless it has several pairs, each on a line of its
 * own: there, the first value would hold all the others.
 */
function pairsIn(text: string, name: string): readonly string[] {
  const lines = text
    .split(/\r\n|\r|\n/)
    .map((line, index) => ({ line, number: index + 1 }))
    .filter(({ line }) => line.trim() !== "" && !line.trimStart().startsWith("#"));
  if (!isPairALine(lines.map(({ line }) => line))) return atCommas(withoutLastBreak(text));
  if (lines.slice(0, -1).every(({ line }) => /,\s*$/.test(line)))
    return atCommas(lines.map(({ line }) => line).join("\n"));
  for (const { line, number } of lines) {
    const [, ...more] = partsAtCommas(line);
    const isLastEmpty = more.at(-1)?.trim() === "";
    if (!isLastEmpty && !more.some((part) => linePair.test(part))) continue;
    const found = isLastEmpty ? "a comma at the end of" : "a comma before another name= in";
    throw new UserError(
      `${name}: expected one pair name=value a line, as each line begins with a name=; found ${found} line ${number}: write one pair a line, or all in one line with commas between, or a map, whose values may have commas and several lines`,
    );
  }
  return lines.map(({ line }) => line);
}

/** Whether there are several lines, and each begins with a pair. Not so if one leaves a brace open for the next. */
function isPairALine(lines: readonly string[]): boolean {
  return (
    lines.length > 1 &&
    lines.every(
      (line, index) =>
        linePair.test(line) &&
        line.lastIndexOf("{") <= line.lastIndexOf("}") &&
        !isBase64End(line, lines[index - 1] ?? ""),
    )
  );
}

/**
 * Whether a line is the end of a base64 text that was wrapped after the line before it, rather than a pair without a
 * value. Names in one case, and lines of hexadecimal digits, are no base64.
 */
function isBase64End(line: string, before: string): boolean {
  const wrapped =
    before
      .trimEnd()
      .split(/[^A-Za-z0-9+/]/)
      .at(-1) ?? "";
  const [end = ""] = line.trim().split(",", 1);
  return (
    [wrapped, end].every((text) => text.length % 4 === 0 && /[a-z]/.test(text) && /[A-Z]/.test(text)) &&
    wrapped.length >= 60 &&
    /^[A-Za-z0-9+/]+=$/.test(end) &&
    end.length <= wrapped.length
  );
}

/**
 * The text without the line break that a text of one line often ends with, and without comments before its first pair.
 * A value of several lines keeps all its breaks.
 */
function withoutLastBreak(text: string): string {
  const pairs = text.replace(/^\s*(?:#.*[\r\n]+\s*(?=\S))+/, "");
  const last = partsAtCommas(pairs).at(-1) ?? "";
  if (/[\r\n]/.test(last.trim())) return pairs;
  const content = pairs.trimEnd();
  return content + pairs.slice(content.length).replace(/[\r\n].*$/s, "");
}

function atCommas(text: string): readonly string[] {
  return partsAtCommas(text).filter((part) => part.trim() !== "");
}

/** As the oci-build task splits a list (envconfig): not at commas between `{` and the next `}`. */
function partsAtCommas(text: string): readonly string[] {
  const parts = [""];
  for (const [piece] of text.matchAll(/,|[^,{]+|\{[^}]*/g)) {
    if (piece === ",") parts.push("");
    else parts.push((parts.pop() ?? "") + piece);
  }
  return parts;
}

/**
 * `a=1,b=2,a=3` → `{a: ["1", "3"], b: ["2"]}`, for values without blanks.
 * @throws UserError naming the variable
 */
export function readHostPairs(text: string, name: string): Record<string, string[]> {
  const pairs = new Map<string, string[]>();
  for (const part of splitList(text)) {
    const equals = part.indexOf("=");
    if (equals < 1) throw new UserError(`${name}: ${wanted}; found a part without a name or without "="`);
    const key = part.slice(0, equals);
    pairs.set(key, [...(pairs.get(key) ?? []), part.slice(equals + 1)]);
  }
  return Object.fromEntries(pairs);
}

const isId = new RegExp(`^${idPattern}`);

/**
 * `id=path,path`, as in buildctl's `--ssh` → `{id: ["path", "path"]}`. Unlike in buildctl, `id=path,id=path` names
 * several ids. A private key itself may stand behind `id=`. Errors show nothing of the text: it may be a key.
 * @throws UserError naming the variable
 */
export function readSshPairs(text: string, name: string): Record<string, string[]> {
  if (text.includes("PRIVATE KEY")) return readSshKey(text, name);
  const pairs = new Map<string, string[]>();
  let id = "";
  for (const part of text.split(/[,\r\n]/).map((each) => each.trim())) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    if (equals > 0) id = part.slice(0, equals);
    const path = equals > 0 ? part.slice(equals + 1) : part;
    if (!isId.test(id) || path === "" || path.startsWith("=")) {
      throw new UserError(
        `${name}: expected id=path, with the path of a private key, or a map; an id alone stands for an SSH agent, and the step has none`,
      );
    }
    pairs.set(id, [...(pairs.get(id) ?? []), path]);
  }
  return Object.fromEntries(pairs);
}

function readSshKey(text: string, name: string): Record<string, string[]> {
  const [, id = "", key = ""] = /^\s*([^\s,=]+)=(\s*-----BEGIN .*)$/s.exec(text) ?? [];
  const isAlone = !/-----END [^-\n]*-----\s*\S/.test(text);
  if (isId.test(id) && isAlone && key.split("-----BEGIN ").length === 2) return { [id]: [key.trimStart()] };
  const found = /^\s*-----BEGIN /.test(text)
    ? "a private key without an id: write default= before it"
    : "more than one key: write a map, {id: key}, whose values may also be paths";
  throw new UserError(`${name}: expected id=path, id= and a private key, or a map; found ${found}`);
}
