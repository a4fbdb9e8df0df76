import * as z from "zod";
import type { AuthorNames } from "../host/author-names.ts";
import type { TraceTarget } from "../host/trace.ts";
import type { HostAccess } from "../registry/access.ts";
import { sandbox } from "./daemons.ts";
import { type Fault, RequestError } from "./faults.ts";
import { namesOfTask } from "./names-of-task.ts";
import { type PutParams, taskForms } from "./put-params.ts";
import { type PartlyRead, readPartly, thrownFaults, unreliable } from "./read-json.ts";
import { type PutRequest, paramsPartly } from "./read-parts.ts";
import { faultsBy, type Rule } from "./rules.ts";
import { readTaskRegistries, registriesVariable } from "./task-registries.ts";
import { findForm } from "./task-syntax.ts";
import type { ParseYaml } from "./task-yaml.ts";
import { readTaskTracing, tracingVariable } from "./tracing-fields.ts";

/** What a task is asked for. */
export interface TaskRequest {
  readonly params: PutParams;
  /** What its author calls the params. */
  readonly names: AuthorNames;
  /** How to reach registries. */
  readonly hosts: ReadonlyMap<string, HostAccess>;
  /** How the step's own BuildKit runs. A task has no source, so it reads this from the variable `SANDBOX`. */
  readonly sandbox: z.output<typeof sandbox>;
  /** What the task is to do. */
  readonly call: "build" | FrontendCall;
  /** Where its spans are sent, if anywhere. */
  readonly tracing: TraceTarget | undefined;
}

/** How a command reads a task. */
export interface TaskReading {
  /** Parses the variables `REGISTRIES` and `TRACING`. */
  readonly parseYaml: ParseYaml;
  /** Rules about the params. */
  readonly ofParams: readonly Rule<PutRequest>[];
  /** Rules about the variable `REGISTRIES`. */
  readonly ofHosts: readonly Rule<TaskRequest["hosts"]>[];
  /** Rules about all of it together. */
  readonly ofTask: readonly Rule<TaskRequest>[];
}

/**
 * Reads what a task is asked for from its environment, which holds other variables too: of these only those with a
 * param's name count. As in the oci-build task, an empty `TARGET` counts as not given, and an empty `BUILD_ARG_x` as an
 * empty build arg.
 * @throws UserError with all faults
 */
export function readTask(
  env: Readonly<Record<string, string | undefined>>,
  { parseYaml, ofParams, ofHosts, ofTask }: TaskReading,
): TaskRequest {
  const given = Object.entries(env).filter(([name, value]) => value !== undefined && isTaskParam(name));
  const names = namesOfTask(env);
  const { value: params, faults } = paramsPartly(Object.fromEntries(given), undefined, ofParams, names);
  const hosts = variablePartly(
    registriesVariable,
    () => readTaskRegistries(env[registriesVariable] ?? "", parseYaml),
    (value) => faultsBy(ofHosts, value),
  );
  const tracing = variablePartly(tracingVariable, () =>
    readTaskTracing(env[tracingVariable] ?? "", parseYaml),
  );
  const others = { SANDBOX: env["SANDBOX"] || undefined, CALL: env["CALL"] || undefined };
  const variables = readPartly(TaskVariables, others, "params", { placeOf: names.place });
  const all = [...faults, ...hosts.faults, ...tracing.faults, ...variables.faults];
  if (params === undefined || hosts.value === undefined || variables.value === undefined)
    throw new RequestError(all);
  const { SANDBOX, CALL } = variables.value;
  const task = { params, names, hosts: hosts.value, sandbox: SANDBOX, call: CALL, tracing: tracing.value };
  const ofWhole = faultsBy(ofTask, task, unreliable([...faults, ...variables.faults]));
  if (all.length + ofWhole.length > 0) throw new RequestError([...all, ...ofWhole]);
  return task;
}

/** Reads a variable that holds a map. Its faults are placed at the variable. */
function variablePartly<T>(
  name: string,
  read: () => T,
  findFaults: (value: T) => readonly Fault[] = () => [],
): PartlyRead<T> {
  const { value, faults } = thrownFaults(read);
  const all = value === undefined ? faults : findFaults(value);
  return { value, faults: all.map(({ message }) => ({ path: [name], message, kind: "value" })) };
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

/** All variables that a task reads, besides its params. */
export const ownVariables: readonly string[] = [
  registriesVariable,
  tracingVariable,
  ...Object.keys(taskVariables),
];

/** Whether a variable sets a param. */
export function isTaskParam(name: string): boolean {
  return findForm(name, taskForms) !== undefined;
}
