import type { Located, Position } from "./document.ts";

/** What is written for another tool, and not for Concourse. */
export interface OtherTemplate extends Position {
  readonly message: string;
  /** Whether Concourse can't read it. What it passes on as text only causes a warning. */
  readonly isUnreadable: boolean;
}

/** Params with a program's text, in which anything may be meant. */
const programs: readonly string[] = ["dockerfile_inline"];

const words =
  "grab|concat|vault|inject|param|join|load|file|base64|calc|stringify|empty|keys|static_ips|ips|awsparam|awssecret|credhub";

/** Expressions that Concourse passes on as they are. The texts around them aren't shown, since they may be secrets. */
const expressions: readonly (readonly [sign: RegExp, message: string])[] = [
  [
    /\$\{\{.*?\}\}/s,
    `Concourse passes \${{ … }}, an expression of GitHub Actions, on as text: write a variable, ((name))`,
  ],
  [
    new RegExp(`(?<!\\$)\\(\\(\\s*(?:${words})\\s.*?\\)\\)`, "s"),
    "Concourse passes (( … )), an expression of spruce, on as text: give validate the file that spruce makes of this one",
  ],
  [
    /(?<!\$)\(\((?:\s+[\w./:-]+\s*|[\w./:-]+\s+)\)\)/,
    "Concourse passes (( name )) on as text, because of its blanks: write ((name))",
  ],
  [/^\{\{[^{}]*\}\}$/, "Concourse passes {{name}} on as text: write ((name))"],
  [
    /\$(?:\{CI_[A-Z_]+\}|CI_[A-Z_]+\b)/,
    "Concourse passes $CI_…, a variable of GitLab CI, on as text: write a variable, ((name))",
  ],
];

/** Where a value of a pipeline holds what only another tool reads. Each place is told once. */
export function otherTemplates(node: Located, place: string): readonly OtherTemplate[] {
  if (node.kind === "list")
    return node.items.flatMap((item, index) => otherTemplates(item, `${place}.${index}`));
  if (node.kind === "map")
    return [...node.entries].flatMap(([name, entry]) =>
      programs.includes(name) ? [] : otherTemplates(entry.node, `${place}.${name}`),
    );
  const { line, column, value, isOldVariable } = node;
  if (isOldVariable === true) {
    const message = `${place}: {{name}} is no variable of Concourse, which reads it as a map: write ((name)), or give validate the file that another tool makes of this one`;
    return [{ line, column, message, isUnreadable: true }];
  }
  if (typeof value !== "string") return [];
  const [, message] = expressions.find(([sign]) => sign.test(value)) ?? [];
  return message === undefined
    ? []
    : [{ line, column, message: `${place}: ${message}`, isUnreadable: false }];
}

/** The first line with an expression of ytt, which YAML reads as a comment. Undefined if there is none. */
export function yttLine(text: string): number | undefined {
  const at = text.split("\n").findIndex((line) => /^\s*#@ ?\S|:\s+#@ /.test(line));
  return at === -1 ? undefined : at + 1;
}
