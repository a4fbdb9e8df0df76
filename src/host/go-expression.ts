import { RE2JS } from "re2js";
import { messageOf } from "./errors.ts";

/** A regular expression in Go's syntax (RE2), which is that of the programs that this one starts. */
export interface GoExpression {
  /** Whether any part of the text matches. */
  readonly test: (text: string) => boolean;
  /** The text with each match replaced. `$1`, `${1}` and `${name}` stand for groups (Go, regexp, `Regexp.Expand`). */
  readonly replace: (text: string, template: string) => string;
}

/** Compiles an expression, or answers what Go says is wrong with it: `missing closing ): "("`. */
export function compileGoExpression(expression: string): GoExpression | string {
  try {
    const compiled = RE2JS.compile(expression);
    return {
      test: (text: string) => compiled.matcher(text).find(),
      replace: (text: string, template: string) =>
        compiled.matcher(text).replaceAll((...found: readonly unknown[]) => expand(template, found)),
    };
  } catch (thrown) {
    return messageOf(thrown)
      .replace(/^error parsing regexp: /, "")
      .replaceAll("`", '"');
  }
}

/** @param found the match, its groups, its index, the text, and if there are any, the groups that have names */
function expand(template: string, found: readonly unknown[]): string {
  const last = found.at(-1);
  const named = typeof last === "object" ? (last as Readonly<Record<string, unknown>>) : {};
  const groups = found.slice(0, typeof last === "object" ? -3 : -2);
  return template.replaceAll(/\$(?:\$|\{(\w+)\}|(\w+))/g, (_, braced?: string, bare?: string) => {
    const name = braced ?? bare;
    if (name === undefined) return "$";
    const group = /^\d+$/.test(name) ? groups[Number(name)] : named[name];
    // A group that took part in no match is null.
    return typeof group === "string" ? group : "";
  });
}
