import { type InputFolder, readInputText } from "../builder/inputs/input-folder.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import type { PutParams } from "../request/put-params.ts";
import { readPolicyFile, readSourcePolicy } from "../request/source-policy.ts";

/**
 * The options of a build, with the source policy read.
 * @throws UserError if the file is missing, or doesn't hold a source policy
 */
export async function withSourcePolicy(params: PutParams, folder: InputFolder): Promise<BuildOptions> {
  const { sourcePolicy } = params;
  if (sourcePolicy === undefined) return { ...params, sourcePolicy };
  if ("policy" in sourcePolicy) return { ...params, sourcePolicy: sourcePolicy.policy };
  if ("text" in sourcePolicy)
    return { ...params, sourcePolicy: readSourcePolicy(sourcePolicy.text, "params.source_policy") };
  const { file } = sourcePolicy;
  const text = await readInputText(folder, file, "source_policy");
  return { ...params, sourcePolicy: readPolicyFile(text, file) };
}
