import { CST, Lexer } from "yaml";
import type { Located, Position } from "./document.ts";

/** What is written for another tool, and not for Concourse. */
export interface OtherTemplate extends Position {
  readonly message: string;
  /** Whether Concourse can't read it. What it passes on as text only causes a warning. */
  readonly isUnreadable: boolean;
}

/** Params with a program's text, in which anything may be meant. */
const programs: readonly string[] = ["dockerfile_inline"];

const operators =
  "grab|concat|vault|inject|param|join|load|file|base64|calc|stringify|empty|keys|static_ips|ips|awsparam|awssecret|credhub";

/** What an operator of spruce works on, which tells it from plain words: a text, a variable or a reference. */
const operand = String.raw`(?:"[^"\n]*"|\$\w|[\w-]+\.[\w-])`;

/** An operator and its operands. A name alone is a reference too, but not after operators that are common words. */
const operation = String.raw`(?:${operators})[ \t]+${operand}(?:"[^"\n]*"|[^()"\n])*|grab[ \t]+[\w-]+[ \t]*`;

/** Expressions that Concourse passes on as they are. The texts around them aren't shown, since they may be secrets. */
const expressions: readonly (readonly [sign: RegExp, message: string])[] = [
  [
    /\$\{\{(?:(?!\$\{\{).)*?\}\}/,
    `Concourse passes \${{ … }}, an expression of GitHub Actions, on as text: write a variable, ((name))`,
  ],
  [
    new RegExp(String.raw`(?<!\$)\(\([ \t]*(?:${operation})\)\)`),
    "Concourse passes (( … )), an expression of spruce, on as text: give validate the file that spruce makes of this one",
  ],
  [
    /(?<!\$)\(\((?:\s+[\w./:-]+\s*|[\w./:-]+\s+)\)\)/,
    "Concourse passes (( name )) on as text, because of its blanks: write ((name))",
  ],
  [/^\{\{[-\p{L}\w]+\}\}$/u, "Concourse passes {{name}} on as text: write ((name))"],
  [
    /\$(?:\{CI_[A-Z_]+\}|CI_[A-Z_]+\b)/,
    "Concourse passes $CI_…, a variable of GitLab CI, on as text: write a variable, ((name))",
  ],
];

/**
 * Where a value of a pipeline holds what only another tool reads.
 * @param placeOf how messages name a place in the value
 */
export function otherTemplates(
  node: Located,
  placeOf: (path: readonly PropertyKey[]) => string,
  path: readonly PropertyKey[] = [],
): readonly OtherTemplate[] {
  if (node.kind === "list")
    return node.items.flatMap((item, index) => otherTemplates(item, placeOf, [...path, index]));
  if (node.kind === "map")
    return [...node.entries].flatMap(([name, entry]) =>
      otherTemplates(entry.node, placeOf, [...path, name]).filter(
        ({ isUnreadable }) => isUnreadable || !programs.includes(name),
      ),
    );
  const { line, column, value, isOldVariable } = node;
  if (isOldVariable === true) {
    const message = `${placeOf(path)}: {{name}} is not a Concourse variable; YAML reads it as a map: write ((name)), or give validate the file that another tool makes of this one`;
    return [{ line, column, message, isUnreadable: true }];
  }
  if (typeof value !== "string") return [];
  const [, message] = expressions.find(([sign]) => sign.test(value)) ?? [];
  return message === undefined
    ? []
    : [{ line, column, message: `${placeOf(path)}: ${message}`, isUnreadable: false }];
}

/** Comments that are code or annotations of ytt, wherever they are. */
const ytt =
  /^#@(?:\/|(?:data|overlay|schema|yaml|library|assert)\/|[ \t]+(?:load\(|data\.\w|\w+ = \S|end\s*$|(?:if|for|elif|else|def|while)\b.*:\s*$|(?:if|for)\/end\b))/;

/** A comment that ytt reads as the value of a name or an item: a name, a text or a call. */
const yttValue = /^#@[ \t]+(?:[\w.]+\s*$|["']|[\w.]+[([])/;

/** The first line with an expression of ytt, which YAML reads as a comment. Undefined if there is none. */
export function yttLine(text: string): number | undefined {
  let line = 1;
  let before: string | null = null;
  let isText = false;
  for (const token of new Lexer().lex(text)) {
    const type: CST.Token["type"] | null = isText ? null : CST.tokenType(token);
    isText = type === "scalar";
    const isAfterName = before === "map-value-ind" || before === "seq-item-ind";
    if (type === "comment" && (ytt.test(token) || (isAfterName && yttValue.test(token)))) return line;
    if (type !== "space") before = type;
    line += token.split("\n").length - 1;
  }
  return undefined;
}
