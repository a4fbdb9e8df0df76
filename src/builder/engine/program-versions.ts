import { startChild } from "../../host/child.ts";
import type { Environment } from "../../host/step-context.ts";
import { buildkitFloor, oldRunc, oldVersion, versionIn } from "./version.ts";

/** Milliseconds. */
const versionDeadline = 5_000;

/**
 * Asks the programs of our own daemon for their versions. This takes no extra time, as it runs while the daemon
 * starts.
 * @returns buildkitd's version, if it has one, and what is wrong with a program's version, if anything
 */
export async function checkProgramVersions(
  env: Environment,
  signal: AbortSignal,
): Promise<{ readonly version: string | undefined; readonly problem: string | undefined }> {
  const ask = async (program: string): Promise<string> => {
    const options = { reject: false, timeout: versionDeadline } as const;
    const { exitCode, stdout } = await startChild({ env, signal }, program, ["--version"], options);
    return exitCode === 0 ? stdout : "";
  };
  const [buildkitd, buildkitsRunc, runc] = await Promise.all(["buildkitd", "buildkit-runc", "runc"].map(ask));
  const version = versionIn(buildkitd ?? "");
  const oldDaemon = oldVersion(buildkitd ?? "");
  if (oldDaemon !== undefined)
    return { version, problem: `buildkitd ${oldDaemon}: use the resource's own image, or install it` };
  // buildkitd uses the first that it finds: buildkit-runc, then runc.
  const isBuildkits = buildkitsRunc !== "";
  const tooOld = oldRunc((isBuildkits ? buildkitsRunc : runc) ?? "");
  if (tooOld === undefined) return { version, problem: undefined };
  const problem = `${isBuildkits ? "buildkit-runc" : "runc"} ${tooOld}: use the resource's own image, or install runc 1.3.3 or newer`;
  return { version, problem };
}

/** Advice for errors about a missing program. */
export const whatToInstall = `Use the resource's own image, or install BuildKit ${buildkitFloor} or newer`;
