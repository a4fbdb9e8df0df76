import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../host/errors.ts";
import { isBuildName } from "../../image/build-version.ts";
import { type DatedBuild, type Keep, oldBuilds } from "../keep.ts";
import { retire } from "./folders.ts";

export interface RemoveOldBuilds {
  readonly directory: string;
  readonly keep: Keep;
  /** The name of the build that was just stored. It stays, whatever the clocks say. */
  readonly newest: string;
  readonly now: number;
}

/** Removes builds that need not be kept. A get that is reading one keeps its files until it ends. */
export async function removeOldBuilds({ directory, keep, newest, now }: RemoveOldBuilds): Promise<void> {
  const names = (await readdir(directory)).filter(isBuildName);
  const stored = await Promise.all(names.map((name) => storedBuild(directory, name)));
  const present = stored.filter((build) => build !== undefined);
  const dated = present.map((build) => (build.name === newest ? { ...build, at: Infinity } : build));
  for (const { name } of oldBuilds(dated, keep, now)) {
    await retire(directory, join(directory, name)).catch((thrown: unknown) => {
      if (errorCode(thrown) !== "ENOENT") throw thrown; // Another put has removed it.
    });
  }
}

async function storedBuild(directory: string, name: string): Promise<DatedBuild | undefined> {
  const stats = await stat(join(directory, name)).catch(() => undefined);
  return stats && { name, at: stats.mtimeMs };
}
