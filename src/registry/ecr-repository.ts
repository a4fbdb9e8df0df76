import { UserError } from "../host/errors.ts";
import { parseRepository, type Repository } from "../image/reference.ts";

/** Region and account of an Amazon ECR repository whose name may lack the host. */
export interface EcrPlace {
  readonly region: string;
  /** Twelve digits. */
  readonly account: string | undefined;
}

/**
 * The full name of an Amazon ECR repository.
 * @throws UserError if neither the name nor the place has the account
 */
export function ecrRepository(name: string, { region, account }: EcrPlace): Repository {
  const subject = "source.repository";
  const parsed = parseRepository(name, subject);
  if (parsed.host !== "docker.io") return parsed;
  if (account === undefined) {
    throw new UserError(
      `${subject}: ${JSON.stringify(name)} names no host; write <account>.dkr.ecr.${region}.amazonaws.com/${name}, or give aws_account_id`,
    );
  }
  const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  return parseRepository(`${account}.dkr.ecr.${region}.${domain}/${name}`, subject);
}
