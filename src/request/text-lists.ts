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

/** The lines that aren't blank, and among several no comments either: as in the files of build args and labels. */
function linesOf(text: string): readonly { readonly line: string; readonly number: number }[] {
  const lines = text
    .split(/\r\n|\r|\n/)
    .map((line, index) => ({ line, number: index + 1 }))
    .filter(({ line }) => line.trim() !== "");
  return lines.length < 2 ? lines : lines.filter(({ line }) => !line.trimStart().startsWith("#"));
}

/** The text of a pair, which begins with its name. */
const pair = /^\s*[^\s,=]+=/;

const wanted = "expected name=value, separated by commas or one a line, or a map";

/**
 * `a=1,b=x y` → `{a: "1", b: "x y"}`, where a value can't contain a comma, as in the oci-build task. With one pair a
 * line it can. A name is given twice: the last counts, as in BuildKit.
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

function pairsIn(text: string, name: string): readonly string[] {
  const lines = linesOf(text);
  const isFolded = lines.slice(0, -1).every(({ line }) => /,\s*$/.test(line));
  if (isFolded) return atCommas(lines.map(({ line }) => line).join(""));
  // A value of several lines, as the oci-build task takes it too.
  if (!lines.slice(1).some(({ line }) => pair.test(line))) return atCommas(text.replace(/\s*$/, ""));
  const wrong = lines.find(({ line }) => !pair.test(line) || /,\s*(?:[^\s,=]+=|$)/.test(line));
  if (wrong !== undefined) {
    throw new UserError(
      `${name}: line ${wrong.number} is not one pair name=value, but other lines are; write one pair a line, or all in one line with commas between, or a map, whose values may have commas and several lines`,
    );
  }
  return lines.map(({ line }) => line);
}

function atCommas(text: string): readonly string[] {
  return text.split(",").filter((part) => part.trim() !== "");
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
 * several ids. `id=` and a private key itself is that key. A text that isn't so may be a key, so nothing of it is shown.
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
  if (isId.test(id) && key.split("-----BEGIN ").length === 2) return { [id]: [key.trimStart()] };
  throw new UserError(
    `${name}: expected id=path, id= and a private key, or a map; found ${id === "" ? "a private key without an id: write default= before it" : "several keys: write a map, {id: key}"}`,
  );
}
