import type { z } from "zod";
import { getFields } from "../get-params.ts";
import { putParams, taskForms } from "../put-params.ts";
import { exactText, text } from "../scalars.ts";
import { formsAt } from "../schema-parts.ts";
import { sourceFields } from "../source.ts";
import { boolean, findForm } from "../task-syntax.ts";
import type { Located, Position } from "./document.ts";
import type { Use } from "./find-uses.ts";

/** What becomes another text than the author wrote. */
export interface ChangedText extends Position {
  readonly message: string;
}

const fieldsOf: Readonly<Record<Use["kind"], Readonly<Record<string, z.ZodType>>>> = {
  source: sourceFields,
  put: Object.fromEntries(Object.entries(putParams).map(([name, { schema }]) => [name, schema])),
  get: getFields,
  task: {},
};

/** Params whose values are not shown, however they are written. */
const unshown: readonly string[] = ["secrets", "ssh"];

/**
 * The values that stand for texts, and that YAML reads as a number or as true or false, so that Concourse passes
 * another text than was written: `1.10` becomes `1.1`, `yes` becomes `true`, `0755` becomes `493`. A step sees only
 * what they have become.
 * @param placeOf how messages name a place in the value
 */
export function changedTexts(
  node: Located,
  kind: Use["kind"],
  placeOf: (path: readonly PropertyKey[]) => string,
): readonly ChangedText[] {
  if (node.kind !== "map") return [];
  return [...node.entries].flatMap(([name, { node: value, at }]) => {
    const found = Object.hasOwn(fieldsOf[kind], name) ? undefined : findForm(name, taskForms);
    const isText = ([, ...path]: readonly PropertyKey[]) =>
      found === undefined
        ? formsAt(fieldsOf[kind][name], path).some((form) => form === text || form === exactText)
        : found.form.syntax !== boolean;
    const isShown = kind !== "source" && !unshown.includes(found?.param ?? name);
    return changedIn(value, { placeOf, at, isText, isShown, path: [name] });
  });
}

interface Looked {
  readonly placeOf: (path: readonly PropertyKey[]) => string;
  readonly at: Position;
  readonly path: readonly PropertyKey[];
  readonly isText: (path: readonly PropertyKey[]) => boolean;
  readonly isShown: boolean;
}

function changedIn(node: Located, looked: Looked): readonly ChangedText[] {
  const { placeOf, at, path, isText, isShown } = looked;
  if (node.kind === "list")
    return node.items.flatMap((item, index) =>
      changedIn(item, { ...looked, at: item, path: [...path, index] }),
    );
  if (node.kind === "map")
    return [...node.entries].flatMap(([name, entry]) =>
      changedIn(entry.node, { ...looked, at: entry.at, path: [...path, name] }),
    );
  const { value, written } = node;
  if (written === undefined || written === String(value) || !isText(path)) return [];
  const reading = isShown ? `${written} as ${String(value)}` : "what is written here as something else";
  return [
    {
      line: at.line,
      column: at.column,
      message: `${placeOf(path)}: YAML reads ${reading}: put it in quotes`,
    },
  ];
}
