import { join } from "node:path";
import { writeSmallFile } from "../host/atomic-write.ts";
import type { Environment } from "../host/step-context.ts";
import type { LayerCache } from "./plan/layer-cache.ts";

/** AWS's environment variables, and the matching keys of its credentials file. */
const keys = {
  AWS_ACCESS_KEY_ID: "aws_access_key_id",
  AWS_SECRET_ACCESS_KEY: "aws_secret_access_key",
  AWS_SESSION_TOKEN: "aws_session_token",
} as const;

/**
 * The variables with which a daemon started by the step finds the credentials of its cache. Every runc and git that
 * it starts inherits its variables. So AWS's credentials are in a file of the private folder, which AWS's libraries
 * can read too. Azure's libraries only read variables.
 */
export async function cacheEnvironment(
  { ownDaemonEnv }: Pick<LayerCache, "ownDaemonEnv">,
  workspace: string,
): Promise<Environment> {
  const lines = Object.entries(keys).flatMap(([name, key]) =>
    ownDaemonEnv[name] === undefined ? [] : [`${key} = ${ownDaemonEnv[name]}`],
  );
  if (lines.length === 0) return ownDaemonEnv;
  const file = join(workspace, "cache-credentials");
  await writeSmallFile(file, `[layer-cache]\n${lines.join("\n")}\n`, { mode: 0o600, flag: "wx" });
  // The step's own AWS variables, if it has any, would take precedence over the file.
  const none = Object.fromEntries(Object.keys(keys).map((name) => [name, undefined]));
  return { ...ownDaemonEnv, ...none, AWS_SHARED_CREDENTIALS_FILE: file, AWS_PROFILE: "layer-cache" };
}
