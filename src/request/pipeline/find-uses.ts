import { entryOf, itemsOf, type Located, textOf } from "./document.ts";

/** One place in a pipeline that configures this resource or its task. */
export interface Use {
  readonly kind: "source" | "put" | "get" | "task";
  /** For messages: `resource web`, `job build, put web`. */
  readonly subject: string;
  /** The values that are given here: maps, or variables. Later ones override earlier ones, name by name. */
  readonly given: readonly Located[];
  /** The inputs that a put lists. Undefined if it gets all of them, or those that Concourse detects in its params. */
  readonly inputs: readonly string[] | undefined;
  /** What the step calls its params, if not `params`. */
  readonly field?: string;
  /** For a put: what is given as the source of its resource. */
  readonly source?: readonly Located[];
}

/** Names of resource types that are ours, wherever their image comes from. */
const typeName = /^oci-build(-.+)?$/;

/** Our image, in any registry. */
const ownRepository = /(^|\/)oci-build-resource([:@].*)?$/;

const hooks = ["on_success", "on_failure", "on_abort", "on_error", "ensure"];

/**
 * All uses of this resource in a pipeline: the sources of the resources of its type, the params of their puts and
 * gets, and the params of tasks that run `build` in its image. In the file of such a task, its params.
 * @param more names of resource types that are ours, besides those recognized by their name or image
 */
export function findUses(pipeline: Located, more: readonly string[]): readonly Use[] {
  if (isOwnTask(pipeline)) {
    const params = entryOf(pipeline, "params");
    const given = params === undefined ? [] : [params];
    return [{ kind: "task", subject: "task", given, inputs: undefined }];
  }
  const defaults = new Map<string, Located | undefined>();
  for (const type of itemsOf(pipeline, "resource_types")) {
    const name = textOf(type, "name") ?? "";
    const isOurs = typeName.test(name) || isOwnImage(entryOf(type, "source")) || more.includes(name);
    if (isOurs) defaults.set(name, entryOf(type, "defaults"));
  }
  const resources = new Map<string, readonly Located[]>();
  const images = new Set<string>();
  const uses: Use[] = [];
  for (const resource of itemsOf(pipeline, "resources")) {
    const [name = "", type = ""] = [textOf(resource, "name"), textOf(resource, "type")];
    const source = entryOf(resource, "source");
    if (isOwnImage(source)) images.add(name);
    if (!defaults.has(type) && !typeName.test(type) && !more.includes(type)) continue;
    // Without a source in the pipeline, Concourse passes an empty one.
    const given = [defaults.get(type), source].filter((part) => part !== undefined);
    const all = given.length === 0 ? [{ ...emptyMap, line: resource.line, column: resource.column }] : given;
    resources.set(name, all);
    uses.push({ kind: "source", subject: nameOfPart("resource", resource), given: all, inputs: undefined });
  }
  for (const job of itemsOf(pipeline, "jobs")) {
    const subject = nameOfPart("job", job);
    for (const step of itemsOf(job, "plan")) walk(step, subject, { resources, images, uses });
    for (const hook of hooks) walk(entryOf(job, hook), subject, { resources, images, uses });
  }
  return uses;
}

/** `job build`, or `a job without a name`. */
function nameOfPart(kind: "job" | "resource", node: Located): string {
  const given = entryOf(node, "name");
  const name = (given?.kind === "scalar" ? given.written : undefined) ?? textOf(node, "name");
  return name === undefined || name === "" ? `a ${kind} without a name` : `${kind} ${name}`;
}

const emptyMap = { kind: "map", entries: new Map() } as const;

interface Found {
  /** What is given as the source of each resource of our type. */
  readonly resources: ReadonlyMap<string, readonly Located[]>;
  /** Names of the resources that are our image, which a task's `image` may name. */
  readonly images: ReadonlySet<string>;
  readonly uses: Use[];
}

function isOwnImage(source: Located | undefined): boolean {
  return ownRepository.test(textOf(source, "repository") ?? "");
}

/** Whether the config of a task is of one that runs `build` in our image. */
function isOwnTask(config: Located | undefined): boolean {
  return isOwnImage(entryOf(entryOf(config, "image_resource"), "source")) && runsBuild(config);
}

/** A task may run another program in our image. */
function runsBuild(config: Located | undefined): boolean {
  return /(^|\/)build$/.test(textOf(entryOf(config, "run"), "path") ?? "build");
}

function listedInputs(step: Located): readonly string[] | undefined {
  const inputs = entryOf(step, "inputs");
  if (inputs?.kind !== "list") return undefined;
  const names = inputs.items.map((item) => (item.kind === "scalar" ? String(item.value) : ""));
  // An input whose name is a variable may be any input.
  return names.some((name) => name.includes("((")) ? undefined : names;
}

/** Collects the uses in a step, in the steps inside it, and in its hooks (concourse-ci.org/docs/steps). */
function walk(step: Located | undefined, job: string, found: Found): void {
  if (step?.kind !== "map") return;
  collect(step, job, found);
  for (const name of ["do", "aggregate", "in_parallel"]) {
    for (const inner of itemsOf(step, name)) walk(inner, job, found);
  }
  for (const inner of itemsOf(entryOf(step, "in_parallel"), "steps")) walk(inner, job, found);
  for (const name of ["try", ...hooks]) walk(entryOf(step, name), job, found);
}

function collect(step: Located, job: string, { resources, images, uses }: Found): void {
  const params = entryOf(step, "params");
  const [put, get, task] = ["put", "get", "task"].map((kind) => textOf(step, kind));
  const source = resources.get(textOf(step, "resource") ?? put ?? get ?? "");
  const isOfResource = source !== undefined;
  if (isOfResource && put !== undefined) {
    const at = { line: step.line, column: step.column };
    const subject = `${job}, put ${put}`;
    const given = [params ?? { ...emptyMap, ...at }];
    uses.push({ kind: "put", subject, given, inputs: listedInputs(step), source });
    const getParams = entryOf(step, "get_params");
    if (getParams !== undefined)
      uses.push({ kind: "get", subject, field: "get_params", given: [getParams], inputs: undefined });
  }
  if (isOfResource && get !== undefined && params !== undefined)
    uses.push({ kind: "get", subject: `${job}, get ${get}`, given: [params], inputs: undefined });
  if (task === undefined) return;
  const config = entryOf(step, "config");
  const hasOwnImage = images.has(textOf(step, "image") ?? "");
  if (!isOwnTask(config) && !(hasOwnImage && runsBuild(config))) return;
  const given = [entryOf(config, "params"), params].filter((part) => part !== undefined);
  uses.push({ kind: "task", subject: `${job}, task ${task}`, given, inputs: undefined });
}
