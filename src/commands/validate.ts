import { readFile } from "node:fs/promises";
import { deliveredNames } from "../delivery/delivered-files.ts";
import { checkTargetNames, taskFolders } from "../delivery/target-names.ts";
import { messageOf, UserError } from "../host/errors.ts";
import { styled } from "../host/log.ts";
import { type CheckedPipeline, checkPipeline } from "../request/pipeline/check-pipeline.ts";
import type { PutParams } from "../request/put-params.ts";
import { planTags } from "../store/tag-plan.ts";
import type { Invocation } from "./invocation.ts";

/**
 * `validate [--type NAME]… [FILE]…`: reads pipelines as the resource's own steps will, and says what is wrong with file
 * and line. Without a file, or for `-`, the pipeline is read from stdin.
 * @throws UserError when anything is wrong, or when a pipeline has nothing of ours
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

/** What a step refuses of params that were read. */
function checkParams(params: PutParams, kind: "put" | "task"): void {
  if (kind === "task") {
    checkTargetNames(params.additionalTargets, taskFolders, "ADDITIONAL_TARGETS");
    return;
  }
  checkTargetNames(params.additionalTargets, deliveredNames, "params.additional_targets");
  planTags({
    tags: params.tags,
    tagsFromFiles: [],
    prefix: params.tagPrefix ?? "",
    version: params.version,
    variant: params.variant,
    bumpAliases: params.bumpAliases && params.versionFile === undefined,
    isReserved: () => false,
  });
}

function summaryOf({ counts }: CheckedPipeline): string {
  const names = { source: "resources", put: "puts", get: "gets", task: "tasks" } as const;
  return (Object.keys(names) as (keyof typeof names)[])
    .filter((kind) => counts[kind] > 0)
    .map((kind) => `${counts[kind]} ${counts[kind] === 1 ? names[kind].slice(0, -1) : names[kind]}`)
    .join(", ");
}
