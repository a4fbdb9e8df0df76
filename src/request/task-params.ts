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
 * Reads a task's params from its environment. They are there beside much else, so a variable counts only when its
 * name is a param's. `TARGET` set to nothing counts as not given, `BUILD_ARG_x` as an empty build arg, as in the
 * oci-build task.
 * @throws UserError for a value that its param can't take
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
 * What a put says in its source and a task, which has none, in a variable: how the step's own BuildKit runs.
 * @throws UserError for a value that it can't take
 */
export function readTaskSandbox(env: Readonly<Record<string, string | undefined>>): z.output<typeof sandbox> {
  return readAs(TaskVariables, { SANDBOX: env["SANDBOX"] || undefined }, "params").SANDBOX;
}

/** The environment for programs that a task starts: its params, secrets among them, are read and none of their business. */
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
