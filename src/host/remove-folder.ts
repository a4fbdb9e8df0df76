import { opendir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { type ChildExit, describeExit, startChild } from "./child.ts";
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
  // Two at once take half as long, if both have as much to do: so they begin at both ends, and what one has removed is
  // nothing to do for the other. rm reports what can't be read.
  const folders = await someFolders(path).catch(() => []);
  if (folders.length >= enough) await Promise.all([rm(step, folders), rm(step, folders.toReversed())]);
  const ended = await rm(step, [path]);
  if (ended.exitCode === 0) return;
  const said = ended.stderr.trim().split("\n").at(-1) || `rm ${describeExit(ended)}`;
  const reason = step.late.aborted ? "an abort leaves no time for it" : said;
  step.log.warn(`${path} could not be removed: ${reason}`);
}

async function rm(
  { env, late }: Pick<StepContext, "env" | "late">,
  paths: readonly string[],
): Promise<ChildExit & { readonly stderr: string }> {
  const options = { stdout: "ignore", reject: false } as const;
  return startChild({ env, signal: late }, "rm", ["-rf", "--", ...paths], options);
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

/** As many folders are worth sharing out. */
const enough = 64;
/** So many are looked at, in a tree that may have millions of entries and be as deep as the disk allows. */
const most = { folders: 512, entries: 4096, depth: 8 } as const;

/**
 * The folders of the first level of a tree that has {@link enough} of them, or of its last, and those above that have
 * no folders in them. There may be more.
 */
async function someFolders(path: string): Promise<readonly string[]> {
  const last: string[] = [];
  let level = [path];
  let entries = 0;
  for (let depth = 0; depth < most.depth; depth++) {
    if (level.length === 0 || last.length + level.length >= enough) break;
    const below: string[] = [];
    for (const folder of level) {
      const before = below.length;
      for await (const entry of await opendir(folder)) {
        if (entry.isDirectory()) below.push(join(folder, entry.name));
        if (++entries >= most.entries || below.length >= most.folders) return [...last, ...below];
      }
      if (below.length === before) last.push(folder);
    }
    level = below;
  }
  return [...last, ...level];
}
