import { startChild } from "../../host/child.ts";
import type { Environment, StepContext } from "../../host/step-context.ts";
import { buildkitFloor, oldRunc, oldVersion, runcVersion, versionIn } from "./version.ts";

/** Milliseconds. */
const versionDeadline = 5_000;

/** What a program says of its version. Empty if it fails or there is none. */
async function askVersion(program: string, env: Environment, signal: AbortSignal): Promise<string> {
  const options = { reject: false, timeout: versionDeadline } as const;
  const { exitCode, stdout } = await startChild({ env, signal }, program, ["--version"], options);
  return exitCode === 0 ? stdout : "";
}

/** What buildctl says of its version. Empty if it says nothing. */
export function askBuildctl({ env, signal }: Pick<StepContext, "env" | "signal">): Promise<string> {
  return askVersion("buildctl", env, signal);
}

/** The versions of our own daemon's programs. A version is undefined if the program's build has none. */
export interface ProgramVersions {
  readonly buildkitd: string | undefined;
  readonly runc: string | undefined;
  /** What is wrong with one of them, if anything. */
  readonly problem: string | undefined;
}

/**
 * Asks the programs of our own daemon for their versions. This takes no extra time, as it runs while the daemon
 * starts.
 */
export async function checkProgramVersions(env: Environment, signal: AbortSignal): Promise<ProgramVersions> {
  const programs = ["buildkitd", "buildkit-runc", "runc"].map((program) => askVersion(program, env, signal));
  const [buildkitd = "", buildkitsRunc = "", systemRunc = ""] = await Promise.all(programs);
  // buildkitd uses the first that it finds: buildkit-runc, then runc.
  const isBuildkits = buildkitsRunc !== "";
  const runc = isBuildkits ? buildkitsRunc : systemRunc;
  const found = { buildkitd: versionIn(buildkitd), runc: runcVersion(runc) };
  const oldDaemon = oldVersion(buildkitd);
  if (oldDaemon !== undefined)
    return { ...found, problem: `buildkitd ${oldDaemon}: use the resource's own image, or install it` };
  const tooOld = oldRunc(runc);
  if (tooOld === undefined) return { ...found, problem: undefined };
  const problem = `${isBuildkits ? "buildkit-runc" : "runc"} ${tooOld}: use the resource's own image, or install runc 1.3.3 or newer`;
  return { ...found, problem };
}

/** Advice for errors about a missing program. */
export const whatToInstall = `Use the resource's own image, or install BuildKit ${buildkitFloor} or newer`;
