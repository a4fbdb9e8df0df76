import * as z from "zod";
import { parseRepository, type Repository } from "../image/reference.ts";
import type { AwsAccess } from "../registry/access.ts";
import { ecrRepository } from "../registry/ecr-repository.ts";
import type { Rule } from "./rules.ts";
import { present, singleWord } from "./scalars.ts";
import { secret } from "./schema-parts.ts";

const accountWords = { error: "expected the twelve digits of an account" };
/** YAML reads an account as a number, without the zeros that it may begin with. */
const accountNumber = z
  .number()
  .int(accountWords)
  .nonnegative(accountWords)
  .max(999_999_999_999, accountWords);

/** Amazon ECR, with the field names of the registry-image resource. */
export const ecrFields = {
  aws_region: z
    .string()
    .regex(/^[a-z]{2}(-[a-z]+)+-\d+$/, { error: "expected a region such as eu-west-1" })
    .optional()
    .describe("Region of the repository in Amazon ECR. docker-credential-ecr-login then logs in."),
  aws_access_key_id: secret(singleWord)
    .optional()
    .describe("AWS access key. Default: the worker's own identity."),
  aws_secret_access_key: secret(singleWord).optional().describe("Secret of the access key."),
  aws_session_token: secret(singleWord).optional().describe("Session token of temporary access keys."),
  aws_role_arn: secret(singleWord).optional().describe("Role to assume before logging in to ECR."),
  aws_role_arns: secret(z.array(singleWord)).default([]).describe("Roles to assume one after the other."),
  aws_account_id: secret(z.union([z.string().regex(/^\d{12}$/, accountWords), accountNumber], accountWords))
    .transform((given) => String(given).padStart(12, "0"))
    .optional()
    .describe("Account of the registry, for a `repository` without a host: `app`."),
};
type EcrFields = z.output<ReturnType<typeof z.strictObject<typeof ecrFields>>> & {
  readonly repository?: string | undefined;
  readonly username?: string | undefined;
};

/** What goes together in the fields for Amazon ECR. */
export const ecrRules: readonly Rule<EcrFields>[] = [
  {
    of: [...Object.keys(ecrFields).filter((name) => name !== "aws_region"), "aws_region"],
    wants: true,
    faults: (given) => {
      const [stray] = Object.entries(given).find(
        ([name, value]) =>
          name.startsWith("aws_") && value !== undefined && !(Array.isArray(value) && value.length === 0),
      ) ?? [undefined];
      if (given.aws_region !== undefined || stray === undefined) return undefined;
      return [
        {
          path: [stray],
          message: `source: ${stray} is given without aws_region, which says that this is Amazon ECR`,
        },
      ];
    },
  },
  {
    of: ["aws_region", "repository"],
    wants: true,
    faults: ({ aws_region: region, repository }) =>
      region !== undefined && repository === undefined
        ? "source: aws_region is given without a repository"
        : undefined,
  },
  {
    of: ["username", "aws_region"],
    faults: ({ aws_region: region, username }) =>
      region !== undefined && username !== undefined
        ? "source: username and aws_region are two ways to log in: remove one"
        : undefined,
  },
  {
    of: ["aws_access_key_id", "aws_secret_access_key", "aws_region"],
    wants: true,
    faults: ({ aws_region: region, aws_access_key_id: id, aws_secret_access_key: key }) =>
      region !== undefined && (id === undefined) !== (key === undefined)
        ? "source: expected aws_access_key_id and aws_secret_access_key together"
        : undefined,
  },
  {
    of: ["aws_role_arn", "aws_role_arns", "aws_region"],
    faults: ({ aws_region: region, aws_role_arn: role, aws_role_arns: roles }) =>
      region !== undefined && role !== undefined && roles.length > 0
        ? "source: aws_role_arn and aws_role_arns are both given: remove one"
        : undefined,
  },
];

/**
 * The full name of the source's repository.
 * @throws UserError if it is not the name of a repository
 */
export function readRepository({
  repository,
  aws_region: region,
  aws_account_id: account,
}: EcrFields): Repository | undefined {
  if (repository === undefined) return undefined;
  return region === undefined
    ? parseRepository(repository, "source.repository")
    : ecrRepository(repository, { region, account });
}

/**
 * The full name of the repository, and how to log in to ECR. The fields keep {@link ecrRules}.
 * @throws UserError if it is not the name of a repository
 */
export function readEcr(given: EcrFields): {
  readonly repository: Repository | undefined;
  readonly aws: AwsAccess | undefined;
} {
  const repository = readRepository(given);
  const { aws_region: region } = given;
  if (region === undefined || repository === undefined) return { repository, aws: undefined };
  return {
    repository,
    aws: {
      host: repository.host,
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
