import type { AuthorNames } from "../host/author-names.ts";
import type { Environment } from "../host/step-context.ts";
import { taskForms } from "./put-params.ts";
import { formName, type TaskForm } from "./task-syntax.ts";

/**
 * The names of a task's author, who sets variables instead of a put's params: `IMAGE_PLATFORM, item 2` for the second of
 * `platforms`, `IMAGE_ARG_base` for `base` of `image_args`. What only a put has keeps its name. Pure.
 * @param env the task's environment, which shows which of a param's variables was set
 */
export function namesOfTask(env: Environment): AuthorNames {
  const place = ([first = "", ...rest]: readonly PropertyKey[]): string => {
    const forms = taskForms[String(first)] ?? [];
    const parts = rest.map(String);
    return forms.length === 0 ? [String(first), ...parts].join(".") : variableOf(forms, parts, env);
  };
  return {
    kind: "task",
    param: (...path) => place(path),
    quoted: (name) => place([name]),
    own: (name) => ((taskForms[name] ?? []).length === 0 ? undefined : place([name])),
    place,
    among: (message) => message,
    secretText: (id) => `BUILDKIT_SECRETTEXT_${id}: …`,
    secret: (id) => `BUILDKIT_SECRETTEXT_${id}: …, or BUILDKIT_SECRET_${id}: path`,
    sshKey: (id) => `BUILDKIT_SSH: ${id}=path`,
    registries: "in the variable REGISTRIES",
  };
}

function variableOf(forms: readonly TaskForm[], parts: readonly string[], env: Environment): string {
  const entries = forms.filter((form) => form.kind === "prefix");
  const list = forms.find((form) => form.kind === "whole")?.name ?? "";
  const [entry] = parts;
  if (entries.length > 0) {
    if (entry === undefined) return entries.map(formName).join(", ");
    // The value of such a variable is one text, so that nothing in it has a place of its own.
    const names = entries.map(({ prefix }) => `${prefix}${entry}`);
    const inList = env[list] === undefined ? undefined : `${list}, ${entry}`;
    return names.find((name) => env[name] !== undefined) ?? inList ?? names.slice(0, 1).join("");
  }
  if (entry === undefined) return list;
  const isItem = parts.length === 1 && /^\d+$/.test(entry);
  return `${list}, ${isItem ? `item ${Number(entry) + 1}` : parts.join(".")}`;
}
