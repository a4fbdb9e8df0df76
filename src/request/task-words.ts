import type { Environment } from "../host/step-context.ts";
import type { Fault } from "./faults.ts";
import { taskForms } from "./put-params.ts";
import { formName, type TaskForm } from "./task-syntax.ts";

/**
 * Rewords a message for a task's author, who sets variables instead of a put's params: `params.platforms.1: …`
 * becomes `IMAGE_PLATFORM, item 2: …`, `image_args.base: …` becomes `IMAGE_ARG_base: …`, and a resource's
 * `source.registries` becomes the variable `REGISTRIES`. Pure.
 * @param env the task's environment, which shows which of a param's variables was set
 */
export function taskWords(message: string, env: Environment): string {
  return message
    .split("\n")
    .map((line) =>
      line
        .replace(subjectPattern, (subject: string, param: string, rest: string | undefined) => {
          const forms = taskForms[param];
          return forms === undefined || forms.length === 0 ? subject : variableOf(forms, rest, env);
        })
        .replaceAll(adviceToGive, (advice: string, verb: string, param: string) => {
          const forms = taskForms[param];
          return forms === undefined || forms.length === 0
            ? advice
            : `${verb} ${variableOf(forms, undefined, env)}`;
        })
        .replaceAll(secretWays, "BUILDKIT_SECRETTEXT_$1: …, or BUILDKIT_SECRET_$1: path")
        .replaceAll(secretToGive, "BUILDKIT_SECRETTEXT_$1: …")
        .replaceAll(keyToGive, "BUILDKIT_SSH: $1=path")
        .replaceAll(inSentence, (name: string) => wholeName(taskForms[name] ?? []) ?? name)
        .replaceAll(/\bsource\.registries\b/g, "REGISTRIES")
        .replaceAll(/"sandbox: (\w+)" in the source \(SANDBOX in a task\)/g, '"SANDBOX: $1"')
        .replaceAll(ofEveryHost, "$1 of its host in the variable REGISTRIES")
        .replaceAll(onlyPuts, 'only a put can allow it, with its param "$1"')
        .replaceAll(elsewhere, "$1 in a resource's source, and a put instead of the task")
        .replaceAll(/(?:under "?registries"? )?in the source\b/g, "in the variable REGISTRIES")
        .replace(/^params(?:\.|: )(?=[A-Z])/, ""),
    )
    .join("\n");
}

/**
 * A fault's message for a task's author. The place that it begins with is known here, so names with any characters
 * are replaced too.
 */
export function faultWords({ path, message }: Fault, env: Environment): string {
  const [param = "", ...rest] = path.map(String);
  const forms = taskForms[param] ?? [];
  const place = path.map(String).join(".");
  const start = [`params.${place}`, place].find((each) => message.startsWith(`${each}:`));
  if (start === undefined || forms.length === 0) return taskWords(message, env);
  const variable = variableOf(forms, rest.length === 0 ? undefined : rest.join("."), env);
  return `${variable}${taskWords(message.slice(start.length), env)}`;
}

/** The place that a message begins with: `params.add_hosts.db`, `context`, `build_args_file`. */
const subjectPattern = /^(?:params\.)?([a-z][a-z_]*)(?:\.([^\s:]+(?::\d[^\s:]*)?))?(?=:| (?:is|sets|and) )/;

/** Advice that names a param in quotes: `under "registry_mirrors"`. A path may have the same name. */
const adviceToGive = /\b(under|check|several) "([a-z_]+)"/g;

/** Advice to give a secret, or a key, as a put's params have it. */
const secretToGive = /"?secrets: \{([^\s:{}]+): \{text: …\}\}"?/g;
const keyToGive = /"?ssh: \{([^\s:{}]+): …\}"?/g;

/** The same with what else it may be. */
const secretWays = /"?secrets: \{([^\s:{}]+): \{text: …\}\}"? \(or file, or env\)/g;

/** Advice for every registry. A task has only that for one. */
const ofEveryHost = /("\w+") in the source, for every registry or for its host under "registries"/g;

/** Advice that names a param which no variable sets. */
const onlyPuts = /name it under "(\w+)" in the params/g;

/** Advice to build elsewhere, which only a resource can do. */
const elsewhere = /("buildkit: [^"]*") in the source\b/g;

/** Names of params of several words in a sentence, except within a path. */
const inSentence = /(?<![\w/."-])([a-z]+(?:_[a-z]+)+)(?![\w/.-])/g;

/** The variable that sets a param in a task, with `*` for a name: `BUILD_ARG_*`. Undefined if there is none. */
export function variableOfParam(param: string): string | undefined {
  const forms = taskForms[param] ?? [];
  return forms.length === 0 ? undefined : variableOf(forms, undefined, {});
}

function variableOf(forms: readonly TaskForm[], rest: string | undefined, env: Environment): string {
  const entries = forms.filter((form) => form.kind === "prefix");
  if (rest !== undefined && entries.length > 0) {
    const names = entries.map((form) => `${form.prefix}${rest}`);
    const list = wholeName(forms);
    const inList = list !== undefined && env[list] !== undefined ? `${list}, ${rest}` : undefined;
    return names.find((name) => env[name] !== undefined) ?? inList ?? names[0] ?? rest;
  }
  const name = (entries.length === 0 ? wholeName(forms) : undefined) ?? entries.map(formName).join(", ");
  if (rest === undefined) return name;
  return /^\d+$/.test(rest) ? `${name}, item ${Number(rest) + 1}` : `${name}, ${rest}`;
}

function wholeName(forms: readonly TaskForm[]): string | undefined {
  return forms.find((form) => form.kind === "whole")?.name;
}
