import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import { deliveredNames } from "../delivery/delivered-files.ts";
import { checkTargetNames, taskFolders } from "../delivery/target-names.ts";
import { messageOf, UserError } from "../host/errors.ts";
import { styled } from "../host/log.ts";
import { type Fault, RequestError } from "../request/faults.ts";
import { type CheckedPipeline, type CheckedUse, checkPipeline } from "../request/pipeline/check-pipeline.ts";
import type { PutParams } from "../request/put-params.ts";
import { checkTargetTags, planTags } from "../store/tag-plan.ts";
import type { Invocation } from "./invocation.ts";

/**
 * `validate [--type NAME]… [FILE]…`: reads pipelines as the resource's own steps do, and reports each fault with
 * file and line. Without a file, or for `-`, the pipeline is read from stdin.
 * @throws UserError if there is any fault, or if a pipeline doesn't use this resource or its task
 */
export async function validate({ step, args, readInput }: Invocation): Promise<undefined> {
  const { files, types } = readArguments(args);
  let faults = 0;
  for (const file of files) {
    const text = file === "-" ? await readInput() : await readPipeline(file);
    const checked = checkPipeline(text, { file, types, checkParams });
    if (Object.values(checked.counts).every((count) => count === 0)) throw new UserError(nothingFound(file));
    for (const { line, column, message } of checked.faults)
      step.log.line(`${file}:${line}:${column}: ${styled(step.log, "bad", "error:")} ${message}`);
    if (checked.faults.length === 0) step.log.line(`${file}: ${summaryOf(checked)}: no faults`);
    faults += checked.faults.length;
  }
  if (faults > 0) throw new UserError(faults === 1 ? "1 fault found" : `${faults} faults found`);
  return undefined;
}

function readArguments(args: readonly string[]): {
  readonly files: readonly string[];
  readonly types: readonly string[];
} {
  const files: string[] = [];
  const types: string[] = [];
  const waiting = [...args];
  for (let arg = waiting.shift(); arg !== undefined; arg = waiting.shift()) {
    if (arg === "--type") {
      const name = waiting.shift();
      if (name === undefined) throw new UserError("--type: expected the name of a resource type after it");
      types.push(name);
    } else if (arg.startsWith("-") && arg !== "-") {
      throw new UserError(
        `validate: there is no option ${JSON.stringify(arg)}; expected [--type NAME] pipeline.yml`,
      );
    } else files.push(arg);
  }
  return { files: files.length === 0 ? ["-"] : files, types };
}

async function readPipeline(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new UserError(`${file} can't be read: ${messageOf(cause)}`, { cause });
  }
}

function nothingFound(file: string): string {
  return `${file}: nothing in it is for this resource. It looks for resource types that are called oci-build, or whose image's repository ends with oci-build-resource, and for tasks with that image; add --type NAME for a resource type that shows neither`;
}

/** Makes the checks that a step makes after reading its params. @throws UserError */
function checkParams(params: PutParams, use: CheckedUse): void {
  if (use.kind === "task") {
    checkTargetNames(params.additionalTargets, taskFolders, "ADDITIONAL_TARGETS");
    return;
  }
  checkTargetNames(params.additionalTargets, deliveredNames, "params.additional_targets");
  const { tags } = planTags({
    tags: params.tags,
    tagsFromFiles: [],
    prefix: params.tagPrefix ?? "",
    version: params.version,
    variant: params.variant,
    bumpAliases: params.bumpAliases && params.versionFile === undefined,
    isReserved: () => false,
  });
  checkTargetTags(tags, params.targetTags, () => false);
  const faults = use.inputs === undefined ? [] : missingInputs(params, use.inputs);
  if (faults.length > 0) throw new RequestError(faults);
}

/** The paths in a put's params that don't begin with one of its inputs. */
function missingInputs(params: PutParams, inputs: readonly string[]): Fault[] {
  return pathsIn(params).flatMap(([path, text]) => {
    const [first = ""] = posix.normalize(text).split("/");
    if (first === "." || inputs.includes(first) || isRemote(text)) return [];
    const place = ["params", ...path].join(".");
    // A Dockerfile's path is relative to the put's folder, not to the context.
    const hint =
      path[0] === "dockerfile" && params.context !== "."
        ? `write ${posix.join(params.context, text)}`
        : `write inputs: [${[...inputs, first].join(", ")}], or another path`;
    const message = `${place}: ${JSON.stringify(first)} is not among the put's inputs; ${hint}`;
    return [{ path, message, kind: "value" }];
  });
}

/** Whether it is a URL, or an address in the form of git and ssh. */
function isRemote(text: string): boolean {
  return /^([a-z][a-z0-9+.-]*:\/\/|[^/]+@[^/]+:|github\.com\/)/i.test(text) || text.startsWith("oci-layout:");
}

/** Every path in the params that is relative to the put's folder, with the param that has it. */
function pathsIn(params: PutParams): (readonly [path: readonly string[], text: string])[] {
  const files = {
    context: params.context,
    // If the context is a repository, the path is inside that.
    dockerfile: isRemote(params.context) ? undefined : params.dockerfile,
    build_args_file: params.buildArgsFile,
    labels_file: params.labelsFile,
    target_file: params.targetFile,
    version_file: params.versionFile,
  };
  const one = Object.entries(files).flatMap(([name, text]) =>
    text === undefined ? [] : [[[name], text] as const],
  );
  const maps = { image_args: params.imageArgs, contexts: params.contexts };
  const each = Object.entries(maps).flatMap(([name, map]) =>
    Object.entries(map).map(([key, text]) => [[name, key], text] as const),
  );
  const secrets = Object.entries(params.secrets).flatMap(([id, secret]) =>
    "file" in secret ? [[["secrets", id], secret.file] as const] : [],
  );
  const tags = params.tagsFiles.map(({ file }) => [["tags_file"], file] as const);
  return [...one, ...each, ...tags, ...secrets];
}

function summaryOf({ counts }: CheckedPipeline): string {
  const names = { source: "resources", put: "puts", get: "gets", task: "tasks" } as const;
  return (Object.keys(names) as (keyof typeof names)[])
    .filter((kind) => counts[kind] > 0)
    .map((kind) => `${counts[kind]} ${counts[kind] === 1 ? names[kind].slice(0, -1) : names[kind]}`)
    .join(", ");
}
