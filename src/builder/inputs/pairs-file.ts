import { addAbortListener, once } from "node:events";
import { UserError } from "../../host/errors.ts";
import { orNone } from "../../host/or-none.ts";
import { startThread } from "../../host/thread.ts";
import type { Strings } from "../plan/build-options.ts";
import { type ParsedYaml, parseYamlPairs } from "./yaml-pairs.ts";

export interface PairsFile {
  /** As the params name it. Its extension distinguishes YAML and JSON from lines. */
  readonly path: string;
  /** The param that names the file. */
  readonly subject: string;
  readonly kind: "build args" | "labels";
  readonly signal: AbortSignal;
}

/**
 * Reads `build_args_file` and `labels_file`. The file is a YAML map of names to scalars if its name ends in `.yml`,
 * `.yaml` or `.json`, or if its text is a JSON object. Any other file has one `name=value` per line: empty lines
 * and lines that begin with `#` are skipped, and the last of equal names counts.
 *
 * As in the oci-build task, YAML numbers and booleans keep the text they have in the file, an empty value is "", an
 * alias stands for its anchor's value, and only the first of several documents counts.
 * @throws UserError naming the line; values are never shown
 */
export async function parsePairs(text: string, file: PairsFile): Promise<Strings> {
  const isYaml = /\.(ya?ml|json)$/i.test(file.path) || isJsonObject(text);
  const pairs = isYaml ? await yamlPairs(text, file) : linePairs(text, file);
  return Object.fromEntries(pairs);
}

function linePairs(text: string, file: PairsFile): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    if (/^\s*(#|$)/.test(line)) continue;
    const equals = line.indexOf("=");
    // The line itself may hold a secret, so only its number is shown.
    if (equals < 1) throw refusedLine(file, index + 1, `expected name=value${yamlHint(line)}`);
    const name = line.slice(0, equals);
    checkName(name, index + 1, file);
    pairs.set(name, line.slice(equals + 1));
  }
  return pairs;
}

async function yamlPairs(text: string, file: PairsFile): Promise<ReadonlyMap<string, string>> {
  const parsed = text.length > smallYaml ? await parseInThread(text, file.signal) : parseYamlPairs(text);
  if (parsed.kind === "refused") {
    const lines = text.split("\n");
    const first = lines.findIndex((line) => !/^\s*(#|$)/.test(line));
    if (isLine.test(lines[first] ?? "")) throw notYaml(file, first + 1);
    throw parsed.line === undefined
      ? new UserError(`${file.subject}: ${file.path}: ${parsed.why}`)
      : refusedLine(file, parsed.line, parsed.why);
  }
  const pairs = new Map<string, string>();
  for (const { name, value, line } of parsed.pairs) {
    if (isLine.test(name)) throw notYaml(file, line);
    checkName(name, line, file);
    if (pairs.has(name)) throw refusedLine(file, line, `${name} is given twice: remove one`);
    pairs.set(name, value);
  }
  return pairs;
}

const isLine = /^[^\s:=[\]{}"']+=/;

function yamlHint(line: string): string {
  return /^\s*[\w.-]+:(\s|$)/.test(line)
    ? "; found name: value, which is read only from a file whose name ends in .yml, .yaml or .json"
    : "";
}

function notYaml(file: PairsFile, line: number): UserError {
  const extension = /[^.]*$/.exec(file.path)?.[0] ?? "";
  return refusedLine(
    file,
    line,
    `found name=value, but a file whose name ends in .${extension} is YAML: write name: value, or give the file another name`,
  );
}

/** @throws UserError for a name that must be a mistake, because no Dockerfile could use it */
function checkName(name: string, line: number, file: PairsFile): void {
  const what = file.kind === "labels" ? "label" : "build arg";
  if (name === "" || name.includes("="))
    throw refusedLine(file, line, `expected the name of a ${what}, without "="`);
  if (/^\s*export\s/.test(name))
    throw refusedLine(file, line, 'expected name=value without "export" before it');
  if (name !== name.trim())
    throw refusedLine(file, line, 'expected name=value with no blanks around the "="');
  if (file.kind === "build args" && /\s/.test(name))
    throw refusedLine(file, line, "expected name=value; the name of a build arg has no blanks");
}

function refusedLine(file: PairsFile, line: number, why: string): UserError {
  return new UserError(`${file.subject}: ${file.path} line ${line}: ${why}`);
}

/** The docker-image resource's files are JSON, whatever their name. */
function isJsonObject(text: string): boolean {
  return /^\s*\{/.test(text) && orNone(() => JSON.parse(text)) !== undefined;
}

/** Characters. A shorter text is parsed in less time than a thread takes to start. */
const smallYaml = 32 * 1024;

/**
 * Parses in a thread: a mebibyte of YAML may take seconds, during which the main thread couldn't react to an abort.
 */
async function parseInThread(text: string, signal: AbortSignal): Promise<ParsedYaml> {
  signal.throwIfAborted();
  const thread = startThread(new URL("./yaml-thread.ts", import.meta.url), text);
  using _ = addAbortListener(signal, () => void thread.terminate());
  const [parsed] = (await Promise.race([
    once(thread, "message"),
    once(thread, "exit").then(([status]) => {
      throw new Error(`the thread that parses YAML ended with ${String(status)}`);
    }),
  ]).catch((thrown: unknown) => {
    // A thread that is ended while it loads its modules may fail by that.
    signal.throwIfAborted();
    throw thrown;
  })) as [ParsedYaml];
  return parsed;
}
