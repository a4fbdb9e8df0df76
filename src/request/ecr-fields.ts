import { z } from "zod";
import { UserError } from "../host/errors.ts";
import { parseRepository, type Repository } from "../image/reference.ts";
import type { AwsAccess } from "../registry/access.ts";
import { ecrRepository } from "../registry/ecr-repository.ts";
import { present, singleWord } from "./scalars.ts";

const accountWords = { error: "expected the twelve digits of an account" };

/** Amazon ECR, with the field names of the registry-image resource. */
export const ecrFields = {
  aws_region: z
    .string()
    .regex(/^[a-z]{2}(-[a-z]+)+-\d+$/, { error: "expected a region such as eu-west-1" })
    .optional()
    .describe("Region of the repository in Amazon ECR. docker-credential-ecr-login then logs in."),
  aws_access_key_id: singleWord.optional().describe("AWS access key. Default: the worker's own identity."),
  aws_secret_access_key: singleWord.optional().describe("Secret of the access key."),
  aws_session_token: singleWord.optional().describe("Session token of temporary access keys."),
  aws_role_arn: singleWord.optional().describe("Role to assume before logging in to ECR."),
  aws_role_arns: z.array(singleWord).default([]).describe("Roles to assume one after the other."),
  aws_account_id: z
    .union([z.string().regex(/^\d{12}$/, accountWords), z.number().int(accountWords)], accountWords)
    .transform((given) => String(given).padStart(12, "0"))
    .optional()
    .describe("Account of the registry, for a `repository` without a host: `app`."),
};
type EcrFields = z.output<ReturnType<typeof z.strictObject<typeof ecrFields>>> & {
  readonly repository?: string | undefined;
  readonly username?: string | undefined;
};

/**
 * The full name of the repository, and how to log in to ECR.
 * @throws UserError for fields that don't go together
 */
export function readEcr(given: EcrFields): {
  repository: Repository | undefined;
  aws: AwsAccess | undefined;
} {
  const { repository, aws_region: region } = given;
  if (region === undefined) {
    const stray = Object.entries(given).find(
      ([name, value]) =>
        name.startsWith("aws_") && value !== undefined && !(Array.isArray(value) && value.length === 0),
    );
    if (stray !== undefined)
      throw new UserError(
        `source: ${stray[0]} is given without aws_region, which says that this is Amazon ECR`,
      );
    return {
      repository: repository === undefined ? undefined : parseRepository(repository, "source.repository"),
      aws: undefined,
    };
  }
  if (repository === undefined) throw new UserError("source: aws_region is given without a repository");
  if (given.username !== undefined)
    throw new UserError("source: username and aws_region are two ways to log in: remove one");
  if ((given.aws_access_key_id === undefined) !== (given.aws_secret_access_key === undefined))
    throw new UserError("source: expected aws_access_key_id and aws_secret_access_key together");
  if (given.aws_role_arn !== undefined && given.aws_role_arns.length > 0)
    throw new UserError("source: aws_role_arn and aws_role_arns are both given: remove one");
  const full = ecrRepository(repository, { region, account: given.aws_account_id });
  return {
    repository: full,
    aws: {
      host: full.host,
      region,
      roleArns: given.aws_role_arn === undefined ? given.aws_role_arns : [given.aws_role_arn],
      ...present({
        accessKeyId: given.aws_access_key_id,
        secretAccessKey: given.aws_secret_access_key,
        sessionToken: given.aws_session_token,
      }),
    },
  };
}
