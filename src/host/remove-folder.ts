import { rmdir } from "node:fs/promises";
import { startChild } from "./child.ts";
import { errorCode } from "./errors.ts";
import type { StepContext } from "./step-context.ts";

/**
 * Removes a folder with all in it, by rm(1): Node's own takes several times as long over many files, and stops where
 * a path gets longer than Linux allows. An empty one isn't worth a process. What can't be removed, or not in the time
 * that an abort leaves, is told.
 */
export async function removeFolder(
  step: Pick<StepContext, "env" | "log" | "late">,
  path: string,
): Promise<void> {
  if (await removeEmpty(path)) return;
  const { exitCode, stderr } = await startChild(
    { env: step.env, signal: step.late },
    "rm",
    ["-rf", "--", path],
    { stdout: "ignore", reject: false },
  );
  if (exitCode === 0) return;
  const reason = step.late.aborted ? "an abort leaves no time for it" : stderr.trim().split("\n").at(-1);
  step.log.warn(`${path} could not be removed: ${reason}`);
}

/** Whether it was empty, and is removed, or wasn't there at all. */
async function removeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (thrown) {
    return errorCode(thrown) === "ENOENT";
  }
}
