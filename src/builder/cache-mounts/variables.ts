/**
 * The values of variables. A name with `undefined` is declared but has no value; what the Dockerfile doesn't set at
 * all is missing, and may be set by a base image.
 */
export type Variables = ReadonlyMap<string, string | undefined>;

/** How a word is expanded. */
export interface Expansion {
  readonly variables: Variables;
  /** The Dockerfile's escape character. */
  readonly escape?: string;
  /** Gets the names that were used and aren't in `variables`. */
  readonly missing?: Set<string>;
}

/**
 * Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`, and removes quotes (Dockerfile reference,
 * "Environment replacement"; BuildKit, frontend/dockerfile/shell). A name that isn't set is empty. Pure.
 * @returns undefined for any other form
 */
export function expandVariables(text: string, expansion: Expansion): string | undefined {
  const reader = new WordReader(text, expansion);
  const expanded = reader.read();
  return reader.isUnknown ? undefined : expanded;
}

/** Reads one word from its beginning to its end. */
class WordReader {
  readonly #text: string;
  readonly #expansion: Expansion;
  readonly #escape: string;
  #at = 0;
  isUnknown = false;

  constructor(text: string, expansion: Expansion) {
    this.#text = text;
    this.#expansion = expansion;
    this.#escape = expansion.escape ?? "\\";
  }

  /** @param end the character that it reads up to, which is read too; by default the end of the text */
  read(end = ""): string {
    let read = "";
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at++] ?? "";
      if (character === end) return read;
      if (character === this.#escape) read += this.#text[this.#at++] ?? "";
      else if (character === "'") read += this.#literal();
      else if (character === '"') read += this.#quoted();
      else if (character === "$") read += this.#variable();
      else read += character;
    }
    if (end !== "") this.isUnknown = true;
    return read;
  }

  #literal(): string {
    const end = this.#text.indexOf("'", this.#at);
    if (end === -1) this.isUnknown = true;
    const literal = this.#text.slice(this.#at, end === -1 ? undefined : end);
    this.#at += literal.length + 1;
    return literal;
  }

  #quoted(): string {
    let read = "";
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at++] ?? "";
      const next = this.#text[this.#at] ?? "";
      if (character === '"') return read;
      if (character === "$") read += this.#variable();
      else if (character !== this.#escape) read += character;
      else if (next === '"' || next === "$" || next === this.#escape) {
        read += next;
        this.#at++;
      } else read += character;
    }
    this.isUnknown = true;
    return read;
  }

  #variable(): string {
    const [whole = "", name = "", special = ""] =
      /^\{?(?:([A-Za-z_]\w*)|(\d+|[@*#?$!-]))?/.exec(this.#text.slice(this.#at)) ?? [];
    this.#at += whole.length;
    if (special !== "" || whole === "{") this.isUnknown = true;
    if (name === "") return whole === "" ? "$" : "";
    const value = this.#expansion.variables.get(name);
    const isMissing = !this.#expansion.variables.has(name);
    if (!whole.startsWith("{") || this.#text[this.#at] === "}") {
      if (whole.startsWith("{")) this.#at++;
      if (isMissing) this.#expansion.missing?.add(name);
      return value ?? "";
    }
    const [operator = ""] = /^:?[-+]/.exec(this.#text.slice(this.#at)) ?? [];
    this.#at += operator.length;
    if (operator === "") this.isUnknown = true;
    const word = this.read("}");
    const isSet = operator.startsWith(":") ? (value ?? "") !== "" : value !== undefined;
    if (operator.endsWith("+")) return isSet ? word : "";
    return isSet ? (value ?? "") : word;
  }
}

/**
 * The pairs of an `ENV NAME=value …`, or the single pair of the old form `ENV NAME value`. Values are not expanded.
 * Pure.
 */
export function readEnv(rest: string): readonly (readonly [string, string])[] {
  const [, name, value] = /^([^\s=]+)\s+(.*)$/s.exec(rest) ?? [];
  if (name !== undefined && value !== undefined) return [[name, unquoted(value)]];
  return readArgs(rest).map(([key, given]) => [key, given ?? ""]);
}

/** The names of an ARG, each with its default if it has one. Values are not expanded. Pure. */
export function readArgs(rest: string): readonly (readonly [string, string | undefined])[] {
  const words = rest.match(/(?:"(?:\\.|[^"])*"|'[^']*'|\\.|[^\s"'])+/g) ?? [];
  return words.map((word) => {
    const [, key = word, given] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
    return [key, given === undefined ? undefined : unquoted(given)] as const;
  });
}

function unquoted(word: string): string {
  return word.replaceAll(
    /"((?:\\.|[^"])*)"|'([^']*)'/g,
    (_, double?: string, single?: string) => double ?? single ?? "",
  );
}
