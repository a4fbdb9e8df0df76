import { type InputFolder, readInputText } from "../builder/inputs/input-folder.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import type { SourcePolicy } from "../builder/plan/source-policy.ts";
import { UserError } from "../host/errors.ts";
import { RequestError } from "../request/faults.ts";
import type { PutParams } from "../request/put-params.ts";
import {
  hasExpressions,
  type PolicySource,
  readExpressions,
  readJsonPolicy,
  readYamlPolicy,
  type SourcePolicyDocument,
} from "../request/source-policy.ts";
import { loadYamlParser } from "./yaml-parser.ts";

/**
 * The options of a build, with the source policy read.
 * @throws UserError if the file is missing, or doesn't hold a source policy
 */
export async function withSourcePolicy(params: PutParams, folder: InputFolder): Promise<BuildOptions> {
  const { sourcePolicy } = params;
  return {
    ...params,
    sourcePolicy: sourcePolicy === undefined ? undefined : await givenPolicy(sourcePolicy, folder),
  };
}

async function givenPolicy(given: PolicySource, folder: InputFolder): Promise<SourcePolicy> {
  const subject = "params.source_policy";
  if ("policy" in given) return withExpressions(given.policy, subject);
  if ("text" in given) return readPolicyText(given.text, subject);
  const text = await readInputText(folder, given.file, "source_policy");
  return readPolicyFile(text, given.file);
}

async function readPolicyText(text: string, subject: string): Promise<SourcePolicy> {
  const policy = readJsonPolicy(text, subject) ?? readYamlPolicy(text, subject, await loadYamlParser());
  return withExpressions(policy, subject);
}

/** Expressions are compiled by a library that few policies need. */
async function withExpressions(policy: SourcePolicyDocument, subject: string): Promise<SourcePolicy> {
  if (!hasExpressions(policy)) return policy;
  const { compileGoExpression } = await import("../host/go-expression.ts");
  return { ...policy, expressions: readExpressions(policy, subject, compileGoExpression) };
}

/**
 * Reads the text of a policy's file.
 * @param file its path, for messages
 * @throws UserError with all that is wrong
 */
async function readPolicyFile(text: string, file: string): Promise<SourcePolicy> {
  try {
    return await readPolicyText(text, "source_policy");
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown;
    const faults =
      thrown instanceof RequestError ? thrown.faults.map(({ message }) => message) : [thrown.message];
    const placed = faults.map((message) =>
      message.replace(/^source_policy[.:] ?/, `source_policy: ${file}: `),
    );
    throw new UserError(placed.join("\n"), { cause: thrown });
  }
}
