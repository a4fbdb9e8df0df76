import { isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import { UserError } from "../../host/errors.ts";
import type { Strings } from "../plan/options.ts";

/**
 * Reads `build_args_file` and `labels_file`: one `name=value` a line (empty lines and lines that start with `#`
 * are passed over), or, when the file's name ends in `.yml`, `.yaml` or `.json`, one YAML map of names to scalars, whose
 * values may span lines. Numbers and booleans keep the text they have in the file.
 * @throws UserError naming the line or the key
 */
export function parsePairs(text: string, path: string, subject: string): Strings {
  return /\.(ya?ml|json)$/.test(path) ? fromYaml(text, path, subject) : fromLines(text, path, subject);
}

function fromLines(text: string, path: string, subject: string): Strings {
  const pairs = new Map<string, string>();
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    if (line.trim() === "" || line.startsWith("#")) continue;
    const equals = line.indexOf("=");
    // The line itself may hold a secret, so only its number is shown.
    if (equals < 1) throw new UserError(`${subject}: ${path} line ${index + 1}: expected name=value`);
    pairs.set(line.slice(0, equals), line.slice(equals + 1));
  }
  return Object.fromEntries(pairs);
}

function fromYaml(text: string, path: string, subject: string): Strings {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line } = lines.linePos(error.pos[0]);
    throw new UserError(
      `${subject}: ${path} line ${line} is not YAML: ${error.code.toLowerCase().replaceAll("_", " ")}`,
    );
  }
  if (document.contents === null) return {};
  if (!isMap(document.contents)) {
    throw new UserError(`${subject}: ${path}: expected a YAML map of names to values`);
  }
  const pairs = new Map<string, string>();
  for (const { key, value } of document.contents.items) {
    const name = scalarText(key);
    if (name === undefined) throw new UserError(`${subject}: ${path}: a key is no plain name`);
    const string = scalarText(value);
    if (string === undefined) {
      throw new UserError(
        `${subject}: ${path}: ${name}: expected a string, a number or a boolean, found ${yamlKindOf(value)}`,
      );
    }
    pairs.set(name, string);
  }
  return Object.fromEntries(pairs);
}

function scalarText(node: unknown): string | undefined {
  if (!isScalar(node) || node.value === null) return undefined;
  return typeof node.value === "string" ? node.value : node.source;
}

function yamlKindOf(node: unknown): string {
  if (isMap(node)) return "a map";
  if (isSeq(node)) return "a list";
  return "nothing (null)";
}
