import * as z from "zod";
import type { TraceTarget } from "../host/trace.ts";
import type { HostAccess } from "../registry/access.ts";
import { sandbox } from "./daemons.ts";
import { type Fault, RequestError } from "./faults.ts";
import { whyNotOption } from "./option-names.ts";
import { type PutParams, taskForms } from "./put-params.ts";
import { type PartlyRead, readPartly, thrownFaults, unreliable } from "./read-json.ts";
import { type PutRequest, paramsPartly } from "./read-parts.ts";
import { faultsBy, type Rule } from "./rules.ts";
import { readTaskRegistries, registriesVariable } from "./task-registries.ts";
import { findForm } from "./task-syntax.ts";
import { faultWords, variableOfParam } from "./task-words.ts";
import type { ParseYaml } from "./task-yaml.ts";
import { readTaskTracing, tracingVariable } from "./tracing-fields.ts";

/** What a task is asked for. */
export interface TaskRequest {
  readonly params: PutParams;
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
  const { value: params, faults } = paramsPartly(Object.fromEntries(given), undefined, ofParams);
  const inWords = (all: readonly Fault[]): readonly Fault[] =>
    all.map((fault) => {
      const reword = (message: string): string =>
        faultWords({ ...fault, message: inTask(fault, message) }, env);
      const message = reword(fault.message);
      if (fault.unknown === undefined) return { ...fault, message };
      // Names with the same advice are told in one line, which is made of these parts.
      const { where, advice } = fault.unknown;
      const parts = { where: reword(where), advice: advice === undefined ? undefined : reword(advice) };
      return { ...fault, message, unknown: { ...fault.unknown, ...parts } };
    });
  const hosts = variablePartly(
    registriesVariable,
    () => readTaskRegistries(env[registriesVariable] ?? "", parseYaml),
    (value) => faultsBy(ofHosts, value),
  );
  const tracing = variablePartly(tracingVariable, () =>
    readTaskTracing(env[tracingVariable] ?? "", parseYaml),
  );
  const others = { SANDBOX: env["SANDBOX"] || undefined, CALL: env["CALL"] || undefined };
  const variables = readPartly(TaskVariables, others, "params");
  const ofVariables = variables.faults.map((fault) => ({
    ...fault,
    message: fault.message.replace(/^params\./, ""),
  }));
  const all = [...inWords(faults), ...hosts.faults, ...tracing.faults, ...ofVariables];
  if (params === undefined || hosts.value === undefined || variables.value === undefined)
    throw new RequestError(all);
  const { SANDBOX, CALL } = variables.value;
  const task = { params, hosts: hosts.value, sandbox: SANDBOX, call: CALL, tracing: tracing.value };
  const ofWhole = faultsBy(ofTask, task, unreliable([...faults, ...variables.faults]));
  if (all.length + ofWhole.length > 0) throw new RequestError([...all, ...inWords(ofWhole)]);
  return task;
}

/** A fault's message, with a task's variables in what it advises instead of an option. */
function inTask({ path: [param, name], kind }: Fault, message: string): string {
  if (param !== "options" || kind !== "name") return message;
  return message.replace(whyNotOption(String(name)), () => whyNotOption(String(name), variableOfParam));
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
