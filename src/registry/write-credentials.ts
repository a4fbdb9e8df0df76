import { join } from "node:path";
import { writeSmallFile } from "../host/atomic-write.ts";
import type { Environment } from "../host/step-context.ts";
import type { AwsAccess, RegistryAccess } from "./access.ts";
import { dockerConfig } from "./docker-config.ts";

/**
 * Writes `config.json`, and the files that its helpers need, into a private folder. Returns the environment
 * variables that name them, for helpers and for programs that log in by themselves. Credentials are never passed as
 * arguments.
 */
export async function writeCredentials(access: RegistryAccess, folder: string): Promise<Environment> {
  const write = (name: string, text: string) =>
    writeSmallFile(join(folder, name), text, { mode: 0o600, flag: "wx" });
  await write("config.json", JSON.stringify(dockerConfig(access)));
  if (access.aws === undefined) return { DOCKER_CONFIG: folder };
  const profiles = awsProfiles(access.aws);
  await write("aws-config", profiles.text);
  return {
    DOCKER_CONFIG: folder,
    AWS_CONFIG_FILE: join(folder, "aws-config"),
    AWS_SDK_LOAD_CONFIG: "1",
    AWS_REGION: access.aws.region,
    // Otherwise the helper would keep tokens in the home folder, where later users could read them.
    AWS_ECR_DISABLE_CACHE: "true",
    ...(profiles.name === undefined ? {} : { AWS_PROFILE: profiles.name }),
  };
}

/** The AWS tools' shared configuration. Each role is assumed from the profile before it. */
function awsProfiles(aws: AwsAccess): { text: string; name: string | undefined } {
  const { accessKeyId, secretAccessKey, sessionToken, region, roleArns } = aws;
  const hasKey = accessKeyId !== undefined && secretAccessKey !== undefined;
  const key = hasKey
    ? [
        "[profile key]",
        `region = ${region}`,
        `aws_access_key_id = ${accessKeyId}`,
        `aws_secret_access_key = ${secretAccessKey}`,
        ...(sessionToken === undefined ? [] : [`aws_session_token = ${sessionToken}`]),
      ]
    : [];
  const roles = roleArns.flatMap((arn, index) => [
    `[profile role-${index}]`,
    `region = ${region}`,
    `role_arn = ${arn}`,
    index > 0
      ? `source_profile = role-${index - 1}`
      : hasKey
        ? "source_profile = key"
        : "credential_source = Ec2InstanceMetadata",
  ]);
  const name = roleArns.length > 0 ? `role-${roleArns.length - 1}` : hasKey ? "key" : undefined;
  return { text: `${[...key, ...roles].join("\n")}\n`, name };
}
