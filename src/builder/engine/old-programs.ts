import { startChild } from "../../host/child.ts";
import type { Environment } from "../../host/step-context.ts";
import { buildkitFloor, oldRunc, oldVersion } from "./version.ts";

/** Milliseconds. */
const versionDeadline = 5_000;

/**
 * Asks the programs that a daemon of our own is made of for their versions, which costs no time beside a daemon that
 * starts.
 * @returns what is wrong with one of them, if so
 */
export async function tellOldPrograms(env: Environment, signal: AbortSignal): Promise<string | undefined> {
  const ask = async (program: string): Promise<string> => {
    const options = { reject: false, timeout: versionDeadline } as const;
    const { exitCode, stdout } = await startChild({ env, signal }, program, ["--version"], options);
    return exitCode === 0 ? stdout : "";
  };
  const [buildkitd, buildkitsRunc, runc] = await Promise.all(["buildkitd", "buildkit-runc", "runc"].map(ask));
  const oldDaemon = oldVersion(buildkitd ?? "");
  if (oldDaemon !== undefined) return `buildkitd ${oldDaemon}: use the resource's own image, or install it`;
  // buildkitd takes the first that it finds, in this order.
  const isBuildkits = buildkitsRunc !== "";
  const tooOld = oldRunc((isBuildkits ? buildkitsRunc : runc) ?? "");
  if (tooOld === undefined) return undefined;
  return `${isBuildkits ? "buildkit-runc" : "runc"} ${tooOld}: use the resource's own image, or install runc 1.3.3 or newer`;
}

/** For errors about a program that isn't there. */
export const whatToInstall = `Use the resource's own image, or install BuildKit ${buildkitFloor} or newer`;
