import { type InputFolder, readInputText } from "../builder/inputs/input-folder.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import type { SourcePolicy } from "../builder/plan/source-policy.ts";
import type { AuthorNames } from "../host/author-names.ts";
import type { PutParams } from "../request/put-params.ts";
import {
  hasExpressions,
  type PolicyPlaces,
  type PolicySource,
  placesInFile,
  policyPlaces,
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
export async function withSourcePolicy(
  params: PutParams,
  folder: InputFolder,
  { names }: { readonly names: AuthorNames },
): Promise<BuildOptions> {
  const { sourcePolicy } = params;
  return {
    ...params,
    sourcePolicy: sourcePolicy === undefined ? undefined : await givenPolicy(sourcePolicy, folder, names),
  };
}

async function givenPolicy(
  given: PolicySource,
  folder: InputFolder,
  names: AuthorNames,
): Promise<SourcePolicy> {
  if ("policy" in given) return withExpressions(given.policy, policyPlaces(names));
  if ("text" in given) return readPolicyText(given.text, policyPlaces(names));
  const text = await readInputText(folder, given.file, names.param("source_policy"));
  return readPolicyText(text, placesInFile(names, given.file));
}

async function readPolicyText(text: string, placeOf: PolicyPlaces): Promise<SourcePolicy> {
  const policy = readJsonPolicy(text, placeOf) ?? readYamlPolicy(text, placeOf, await loadYamlParser());
  return withExpressions(policy, placeOf);
}

/** Expressions are compiled by a library that few policies need. */
async function withExpressions(policy: SourcePolicyDocument, placeOf: PolicyPlaces): Promise<SourcePolicy> {
  if (!hasExpressions(policy)) return policy;
  const { compileGoExpression } = await import("../host/go-expression.ts");
  return { ...policy, expressions: readExpressions(policy, placeOf, compileGoExpression) };
}
