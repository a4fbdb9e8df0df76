import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { InputFolder } from "../builder/inputs/input-folder.ts";
import { noLayerCache } from "../builder/plan/layer-cache.ts";
import { dropForeignCache, folderCache } from "../builder/task-cache.ts";
import { type DeliverTarget, deliverAll } from "../delivery/deliver.ts";
import { decideTarget } from "../delivery/target-content.ts";
import { UserError } from "../host/errors.ts";
import { createPrivateFolder } from "../host/private-folder.ts";
import type { StepContext } from "../host/step-context.ts";
import { readTree } from "../image/image-tree.ts";
import { isProven, provenBy } from "../image/proven-layers.ts";
import { namesOfTask } from "../request/names-of-task.ts";
import { environmentForPrograms } from "../request/task-environment.ts";
import { withUsualNames } from "../request/task-names.ts";
import { readTask, type TaskRequest } from "../request/task-params.ts";
import { registriesVariable } from "../request/task-registries.ts";
import type { ParseYaml } from "../request/task-yaml.ts";
import { tracingVariable } from "../request/tracing-fields.ts";
import { insteadOfVariable } from "../request/unread-variables.ts";
import { openDirectoryStore } from "../store/directory/directory-store.ts";
import { inTrace } from "../tracing/tracing.ts";
import { type RecordedResult, recordBuild } from "./build-record.ts";
import { callFrontend } from "./call-frontend.ts";
import type { Invocation } from "./invocation.ts";
import { taskRules } from "./put-rules.ts";
import { type OpenBuild, runBuild } from "./run-build.ts";
import { withSourcePolicy } from "./source-policy.ts";
import { taskAccess } from "./task-access.ts";
import { loadYamlParser } from "./yaml-parser.ts";

/** The main target's folder. */
const mainOutput = "image";

/** Not `cache` itself: an input with source code may well have that name. */
const keptFolder = "cache/oci-build";

/**
 * `build`: the oci-build task. Params come from the environment, and inputs are in the working folder. The main
 * image goes into `image/`, each additional target into a folder of its name, if the task has these outputs. If the
 * task's config has a cache `cache/`, it keeps the layers of this run's steps for the next.
 */
export async function build({ step }: Invocation): Promise<undefined> {
  const env = withUsualNames(step.env);
  const started = { ...step, env, names: namesOfTask(env) };
  warnOfUnread(started);
  const task = readTask(env, { ...taskRules, parseYaml: await yamlParser(started) });
  const work = (traced: StepContext) => buildTask(traced, task);
  await inTrace(task.tracing, started, { name: "task", work });
  return undefined;
}

/** Warns of variables that are meant for this task, and have no effect on it. */
function warnOfUnread({ env, log }: StepContext): void {
  const given = Object.entries(env).flatMap(([name, value]) => (value ? [name] : []));
  const byAdvice = Map.groupBy(given.toSorted(), insteadOfVariable);
  for (const [instead, names] of byAdvice)
    if (instead !== undefined) log.warn(`the task doesn't read ${names.join(", ")}; ${instead}`);
}

async function buildTask(
  started: StepContext,
  { params, hosts, sandbox, call, tracing }: TaskRequest,
): Promise<void> {
  const step = { ...started, env: environmentForPrograms(started.env) };
  const inputs: InputFolder = { path: step.cwd, kind: "task" };
  const opened: OpenBuild = {
    step,
    options: await withSourcePolicy(params, inputs, step),
    folder: inputs,
    access: await taskAccess(started.env, { folder: inputs, hosts }),
    daemons: { kind: "own", sandbox },
    cache: noLayerCache,
    buildkitConfig: undefined,
    tracing,
  };
  if (call !== "build") {
    await callFrontend(call, opened);
    return;
  }
  await using held = new AsyncDisposableStack();
  const { path: folder } = held.use(await createPrivateFolder("task"));
  const store = held.use(openDirectoryStore({ directory: folder }));
  const outputs = await findOutputs(step.cwd, params.additionalTargets);
  await dropForeignCache(join(step.cwd, "cache"), step.log);
  const kept = (await isFolder(join(step.cwd, "cache"))) ? join(step.cwd, keptFolder) : undefined;
  const { stage, facts } = held.use(
    await runBuild({
      ...opened,
      cache: kept === undefined ? noLayerCache : folderCache(kept),
      cacheFolder: kept,
      store,
      isExported: (target) => outputs.has(target === "" ? mainOutput : target),
      timeouts: {},
    }),
  );
  const { blobs } = stage;
  const built: DeliveredResult[] = [];
  for (const [index, { target, descriptor }] of facts.results.entries()) {
    const output = index === 0 ? mainOutput : target;
    if (descriptor === undefined)
      step.log.line(`built, but not delivered: the task has no output ${JSON.stringify(output)}`);
    const tree = descriptor && (await readTree(blobs, descriptor, step.signal));
    built.push({ output, name: target, tags: [], built: tree && { descriptor: tree.top, tree } });
  }
  const record = recordBuild(facts, built, step);
  const proven = provenBy(facts.results);
  const targets: DeliverTarget[] = [];
  for (const { output, built: result } of built) {
    if (result === undefined) continue;
    const decided = decideTarget({
      outputOci: params.outputOci,
      imageTar: true,
      unpackRootfs: params.unpackRootfs,
      platform: undefined,
      place: undefined,
      tree: result.tree,
      layersAreProven: result.tree.images.every((image) => isProven(image, proven)),
      record,
      blobs,
      step,
    });
    targets.push({ ...decided, folder: join(step.cwd, output) });
  }
  await step.trace("deliver", () => deliverAll(targets));
}

/** A target, and the folder of its output. */
interface DeliveredResult extends RecordedResult {
  readonly output: string;
}

/** A parser of YAML. It is loaded only for a task that needs it. */
async function yamlParser({ env }: StepContext): Promise<ParseYaml> {
  const isNeeded = [registriesVariable, tracingVariable].some((name) => (env[name] ?? "") !== "");
  if (!isNeeded) return () => undefined;
  return loadYamlParser();
}

/**
 * Finds which targets' folders are outputs of the task, which Concourse has then made. Targets without one are
 * built, but not exported.
 * @throws UserError if there is a file instead of the folder
 */
async function findOutputs(folder: string, targets: readonly string[]): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const name of [mainOutput, ...targets]) {
    const stats = await stat(join(folder, name)).catch(() => undefined);
    if (stats === undefined) continue;
    if (!stats.isDirectory()) {
      throw new UserError(
        `${JSON.stringify(name)} in the task's folder is not a folder, so nothing can be delivered into it: expected the folder of the output with that name, or nothing`,
      );
    }
    found.add(name);
  }
  return found;
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
