import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import { parse } from "yaml";
import { registryImageHint } from "../builder/inputs/registry-image.ts";
import { namesOfPut } from "../host/author-names.ts";
import { messageOf, UserError } from "../host/errors.ts";
import { compileGoExpression } from "../host/go-expression.ts";
import { styled } from "../host/log.ts";
import { type CheckedPipeline, checkPipeline, type UseRules } from "../request/pipeline/check-pipeline.ts";
import type { PutParams } from "../request/put-params.ts";
import type { PutRequest } from "../request/read-parts.ts";
import { asAdvice, type PlacedMessage, type Rule } from "../request/rules.ts";
import {
  type PolicyPlaces,
  policyPlaces,
  readExpressions,
  readJsonPolicy,
  readYamlPolicy,
  type SourcePolicyDocument,
} from "../request/source-policy.ts";
import type { Invocation } from "./invocation.ts";
import { policyDoubts } from "./policy-doubts.ts";
import { gvisorAdvice, optionAdvice, putAdvice, sourceAdvice, taskAdvice } from "./put-advice.ts";
import { putRules, taskRules } from "./put-rules.ts";

/**
 * `validate [--type NAME]… [FILE]…` or `validate --help`: reads pipelines as the resource's own steps do, and
 * reports each fault with file and line. Without a file, or for `-`, the pipeline is read from stdin.
 * @throws UserError if there is any fault, or if a pipeline doesn't use this resource or its task
 */
export async function validate({ step, args, readInput }: Invocation): Promise<undefined> {
  if (args.some((arg) => arg === "--help" || arg === "-h")) {
    step.log.line(help);
    return undefined;
  }
  const { files, types } = readArguments(args);
  let faults = 0;
  for (const file of files) {
    const text = file === "-" ? await readInput() : await readPipeline(file);
    const checked = checkPipeline(text, { file, types, rules: pipelineRules });
    if (Object.values(checked.counts).every((count) => count === 0)) throw new UserError(nothingFound(file));
    for (const { line, column, message } of checked.faults)
      step.log.line(`${file}:${line}:${column}: ${styled(step.log, "bad", "error:")} ${message}`);
    for (const { line, column, message } of checked.warnings)
      step.log.line(`${file}:${line}:${column}: ${styled(step.log, "warning", "warning:")} ${message}`);
    if (checked.faults.length === 0) step.log.line(`${file}: ${summaryOf(checked)}: no faults`);
    faults += checked.faults.length;
  }
  if (faults > 0) throw new UserError(faults === 1 ? "1 fault found" : `${faults} faults found`);
  return undefined;
}

const help = `usage: validate [--type NAME]... [FILE]...

Checks pipelines for what the oci-build resource and its task would refuse: the source of each resource of this type,
each put and get of it, and each task that runs in its image; also the file of such a task. Without a file, or for -,
the pipeline is read from stdin.

  --type NAME  a resource type that is this resource, if neither its name (oci-build, oci-build-...) nor its image
               (.../oci-build-resource) shows it; may be given several times
  --help       shows this text

Each fault is shown as FILE:LINE:COLUMN: error: ..., and what has no effect as a warning. ((vars)) may stand for any
value. The exit status is 0 if there are no faults, and 1 if there are some.`;

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
        `validate: there is no option ${JSON.stringify(arg)}; expected [--type NAME] pipeline.yml; see validate --help`,
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

/**
 * Reads the policy that the params hold. Steps do so after these rules, since they load what reads YAML and regular
 * expressions only for a policy.
 */
const policyRule: Rule<PutRequest> = {
  of: ["source_policy"],
  faults: ({ params, names }) => {
    const placeOf = policyPlaces(names);
    const policy = policyIn(params, placeOf);
    if (policy === undefined) return undefined;
    readExpressions(policy, placeOf, compileGoExpression);
    const doubts = policyDoubts(policy);
    return doubts.map((doubt) => ({
      path: ["source_policy"],
      message: `${placeOf()}: ${doubt}`,
      isAdvice: true,
    }));
  },
};

/**
 * The policy that the params hold. Undefined if they hold none, or the path of its file.
 * @throws UserError for a text that isn't a policy
 */
function policyIn(
  { sourcePolicy: given }: PutParams,
  placeOf: PolicyPlaces,
): SourcePolicyDocument | undefined {
  if (given === undefined || "file" in given) return undefined;
  if ("policy" in given) return given.policy;
  return (
    readJsonPolicy(given.text, placeOf) ??
    readYamlPolicy(given.text, placeOf, (yaml) => parse(yaml, { prettyErrors: false }))
  );
}

/** The rules that the steps check, those about what only a pipeline shows, and advice. */
const pipelineRules: UseRules = {
  ofSource: [...putRules.ofSource, ...asAdvice(sourceAdvice)],
  ofPut: (inputs) => [
    ...putRules.ofPut,
    ...(inputs === undefined ? [] : inputRules(inputs)),
    policyRule,
    ...asAdvice([...putAdvice, ...gvisorAdvice, optionAdvice]),
  ],
  ofTask: {
    ...taskRules,
    ofParams: [...taskRules.ofParams, policyRule, ...asAdvice([optionAdvice])],
    ofTask: [...taskRules.ofTask, ...asAdvice(taskAdvice)],
  },
};

/** Every path in a put's params has to begin with one of the inputs that the put lists. */
function inputRules(inputs: readonly string[]): readonly Rule<PutRequest>[] {
  const fields = [
    "context",
    "dockerfile",
    "build_args_file",
    "labels_file",
    "source_policy",
    "target_file",
    "version_file",
  ].concat(["image_args", "contexts", "secrets", "ssh", "tags_file"]);
  return fields.map((field) => ({
    of: field === "dockerfile" ? ["dockerfile", "context"] : [field],
    faults: ({ params }) => pathsIn(params, field).flatMap((given) => missingInput(given, inputs, params)),
  }));
}

/** The message about a path that doesn't begin with one of the put's inputs. */
function missingInput(
  { path, text }: GivenPath,
  inputs: readonly string[],
  { context }: PutParams,
): PlacedMessage[] {
  const [first = ""] = posix.normalize(text).split("/");
  if (first === "." || inputs.includes(first)) return [];
  const registryImage = registryImageHint(path[0] ?? "", text, namesOfPut);
  if (registryImage === undefined && isRemote(text)) return [];
  const place = ["params", ...path].join(".");
  // A Dockerfile's path is relative to the put's folder, not to the context.
  const hint =
    registryImage ??
    (path[0] === "dockerfile" && context !== "."
      ? `write ${posix.join(context, text)}`
      : `write inputs: [${[...inputs, first].join(", ")}], or another path`);
  return [{ path, message: `${place}: ${JSON.stringify(first)} is not among the put's inputs; ${hint}` }];
}

/** Whether it is a URL, or an address in the form of git and ssh. */
function isRemote(text: string): boolean {
  return /^([a-z][a-z0-9+.-]*:\/\/|[^/]+@[^/]+:|github\.com\/)/i.test(text) || text.startsWith("oci-layout:");
}

interface GivenPath {
  readonly path: readonly string[];
  /** Relative to the put's folder. */
  readonly text: string;
}

/** The paths that a param gives. */
function pathsIn(params: PutParams, field: string): readonly GivenPath[] {
  const one = (text: string | undefined) => (text === undefined ? [] : [{ path: [field], text }]);
  const each = (entries: readonly (readonly [string, string])[]) =>
    entries.map(([key, text]) => ({ path: [field, key], text }));
  switch (field) {
    case "context":
      return one(params.context);
    case "dockerfile":
      // If the context is a repository, the path is inside that.
      return isRemote(params.context) ? [] : one(params.dockerfile);
    case "build_args_file":
      return one(params.buildArgsFile);
    case "labels_file":
      return one(params.labelsFile);
    case "target_file":
      return one(params.targetFile);
    case "version_file":
      return one(params.versionFile);
    case "source_policy":
      return one(params.sourcePolicy && "file" in params.sourcePolicy ? params.sourcePolicy.file : undefined);
    case "image_args":
      return each(Object.entries(params.imageArgs));
    case "contexts":
      return each(Object.entries(params.contexts));
    case "tags_file":
      return params.tagsFiles.flatMap(({ file }) => one(file));
    case "secrets":
      return each(
        Object.entries(params.secrets).flatMap(([id, secret]) =>
          "file" in secret ? [[id, secret.file] as const] : [],
        ),
      );
    case "ssh":
      return each(
        Object.entries(params.ssh).flatMap(([id, keys]) =>
          keys.flatMap((key) => ("path" in key ? [[id, key.path] as const] : [])),
        ),
      );
    default:
      throw new Error(`${field} gives no paths`);
  }
}

function summaryOf({ counts }: CheckedPipeline): string {
  const names = { source: "resources", put: "puts", get: "gets", task: "tasks" } as const;
  return (Object.keys(names) as (keyof typeof names)[])
    .filter((kind) => counts[kind] > 0)
    .map((kind) => `${counts[kind]} ${counts[kind] === 1 ? names[kind].slice(0, -1) : names[kind]}`)
    .join(", ");
}
