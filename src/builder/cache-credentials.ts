import { join } from "node:path";
import { writeSmallFile } from "../host/atomic-write.ts";
import type { Environment } from "../host/step-context.ts";
import type { LayerCache } from "./plan/layer-cache.ts";

/** AWS's variables, and the names of the same in its file of credentials. */
const keys = {
  AWS_ACCESS_KEY_ID: "aws_access_key_id",
  AWS_SECRET_ACCESS_KEY: "aws_secret_access_key",
  AWS_SESSION_TOKEN: "aws_session_token",
} as const;

/**
 * What a daemon of our own finds its cache's credentials by. Its variables are also those of every runc and git that it
 * starts, so AWS's are in a file of the private folder, which their libraries take as well; Azure's take only variables.
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
  // The step's own variables, if it has any, would go before the file.
  const none = Object.fromEntries(Object.keys(keys).map((name) => [name, undefined]));
  return { ...ownDaemonEnv, ...none, AWS_SHARED_CREDENTIALS_FILE: file, AWS_PROFILE: "layer-cache" };
}
