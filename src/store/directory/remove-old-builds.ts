import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../host/errors.ts";
import { isBuildName } from "../../image/build-version.ts";
import { type DatedBuild, type Keep, oldBuilds } from "../keep.ts";
import { retire } from "./folders.ts";

export interface RemoveOldBuilds {
  readonly directory: string;
  readonly keep: Keep;
  /** The name of the build that was stored just now: it stays, whatever the clocks say. */
  readonly newest: string;
  readonly now: number;
}

/** Removes builds that need not be kept; one that a get reads keeps its files until the get has ended. */
export async function removeOldBuilds({ directory, keep, newest, now }: RemoveOldBuilds): Promise<void> {
  const names = (await readdir(directory)).filter(isBuildName);
  const stored = await Promise.all(names.map((name) => storedBuild(directory, name)));
  const present = stored.filter((build) => build !== undefined);
  const dated = present.map((build) => (build.name === newest ? { ...build, at: Infinity } : build));
  for (const { name } of oldBuilds(dated, keep, now)) {
    await retire(directory, join(directory, name)).catch((thrown: unknown) => {
      if (errorCode(thrown) !== "ENOENT") throw thrown; // Another put was faster.
    });
  }
}

async function storedBuild(directory: string, name: string): Promise<DatedBuild | undefined> {
  const stats = await stat(join(directory, name)).catch(() => undefined);
  return stats && { name, at: stats.mtimeMs };
}
