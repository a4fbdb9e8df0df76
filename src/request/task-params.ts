import { z } from "zod";
import { sandbox } from "./daemons.ts";
import { RequestError } from "./faults.ts";
import { type PutParams, taskForms } from "./put-params.ts";
import { readAs } from "./read-json.ts";
import { readPutParams } from "./read-parts.ts";
import { registriesVariable } from "./task-registries.ts";
import { findForm } from "./task-syntax.ts";
import { taskWords } from "./task-words.ts";

/**
 * Reads a task's params from its environment, which holds other variables too: only those with a param's name
 * count. As in the oci-build task, an empty `TARGET` counts as not given, and an empty `BUILD_ARG_x` as an empty
 * build arg.
 * @throws UserError for a value that its param can't have
 */
export function readTaskParams(env: Readonly<Record<string, string | undefined>>): PutParams {
  const given = Object.entries(env).filter(([name, value]) => value !== undefined && isTaskParam(name));
  try {
    return readPutParams(Object.fromEntries(given));
  } catch (thrown) {
    if (!(thrown instanceof RequestError)) throw thrown;
    throw new RequestError(
      thrown.faults.map((fault) => ({ ...fault, message: taskWords(fault.message, env) })),
    );
  }
}

const TaskVariables = z.looseObject({ SANDBOX: sandbox });

/**
 * How the step's own BuildKit runs. A task has no source, so it reads this from the variable `SANDBOX`.
 * @throws UserError for a value that it can't have
 */
export function readTaskSandbox(env: Readonly<Record<string, string | undefined>>): z.output<typeof sandbox> {
  return readAs(TaskVariables, { SANDBOX: env["SANDBOX"] || undefined }, "params").SANDBOX;
}

/**
 * The environment for programs that a task starts. It lacks the task's params, which hold secrets and which those
 * programs don't need.
 */
export function withoutTaskParams(
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !isTaskParam(name) && name !== registriesVariable),
  );
}

function isTaskParam(name: string): boolean {
  return findForm(name, taskForms) !== undefined;
}
