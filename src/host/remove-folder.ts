import { rmdir } from "node:fs/promises";
import { startChild } from "./child.ts";
import { errorCode } from "./errors.ts";
import type { StepContext } from "./step-context.ts";

/**
 * Removes a folder and its content by rm(1). Node's own function takes several times as long for many files, and
 * fails when a path gets longer than Linux allows. An empty folder is removed without starting a process. A warning
 * is logged if something can't be removed, or not in the time that an abort leaves.
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

/** Removes a folder if it is empty. Returns true if it is removed or doesn't exist. */
async function removeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (thrown) {
    return errorCode(thrown) === "ENOENT";
  }
}
