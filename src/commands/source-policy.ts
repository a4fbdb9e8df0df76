import { type InputFolder, readInputText } from "../builder/inputs/input-folder.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import { UserError } from "../host/errors.ts";
import { RequestError } from "../request/faults.ts";
import type { PutParams } from "../request/put-params.ts";
import { readJsonPolicy, readYamlPolicy, type SourcePolicyDocument } from "../request/source-policy.ts";
import { loadYamlParser } from "./yaml-parser.ts";

/**
 * The options of a build, with the source policy read.
 * @throws UserError if the file is missing, or doesn't hold a source policy
 */
export async function withSourcePolicy(params: PutParams, folder: InputFolder): Promise<BuildOptions> {
  const { sourcePolicy } = params;
  if (sourcePolicy === undefined) return { ...params, sourcePolicy };
  if ("policy" in sourcePolicy) return { ...params, sourcePolicy: sourcePolicy.policy };
  if ("text" in sourcePolicy)
    return { ...params, sourcePolicy: await readPolicyText(sourcePolicy.text, "params.source_policy") };
  const { file } = sourcePolicy;
  const text = await readInputText(folder, file, "source_policy");
  return { ...params, sourcePolicy: await readPolicyFile(text, file) };
}

async function readPolicyText(text: string, subject: string): Promise<SourcePolicyDocument> {
  return readJsonPolicy(text, subject) ?? readYamlPolicy(text, subject, await loadYamlParser());
}

/**
 * Reads the text of a policy's file.
 * @param file its path, for messages
 * @throws UserError with all that is wrong
 */
async function readPolicyFile(text: string, file: string): Promise<SourcePolicyDocument> {
  try {
    return await readPolicyText(text, "source_policy");
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown;
    const faults =
      thrown instanceof RequestError ? thrown.faults.map(({ message }) => message) : [thrown.message];
    throw new UserError(faults.map((message) => `${file}: ${message}`).join("\n"), { cause: thrown });
  }
}
