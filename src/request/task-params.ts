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

/** What a task can ask about a Dockerfile instead of building it. */
const frontendCalls = ["check", "outline", "targets"] as const;
export type FrontendCall = (typeof frontendCalls)[number];

/** Variables that a task reads, and for which a put has no params. */
export const taskVariables = {
  CALL: z
    .enum(["build", ...frontendCalls])
    .default("build")
    .describe(
      "`check`: only run BuildKit's checks on the Dockerfile; `outline`: only list what it takes; `targets`: only list its stages.",
    ),
  SANDBOX: sandbox.describe("As `sandbox` of a resource's source."),
};

const TaskVariables = z.looseObject(taskVariables);

/**
 * Reads how the step's own BuildKit runs, which a resource has in its source, and what the task is to do.
 * @throws UserError for a value that a variable can't have
 */
export function readTaskVariables(env: Readonly<Record<string, string | undefined>>): {
  readonly sandbox: z.output<typeof sandbox>;
  readonly call: "build" | FrontendCall;
} {
  const given = { SANDBOX: env["SANDBOX"] || undefined, CALL: env["CALL"] || undefined };
  const { SANDBOX, CALL } = readAs(TaskVariables, given, "params");
  return { sandbox: SANDBOX, call: CALL };
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
