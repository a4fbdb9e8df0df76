import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../host/errors.ts";
import { isBuildName } from "../../image/build-version.ts";
import { retire } from "./folders.ts";

/** Which builds stay: the newest so many, and those not older than so many days. What neither names goes. */
export interface Keep {
  readonly builds?: number | undefined;
  readonly days?: number | undefined;
}

interface Stored {
  readonly name: string;
  /** When it was stored, in milliseconds since 1970. */
  readonly at: number;
}

/** The builds to remove. The newest always stays. Pure. */
export function oldBuilds<T extends Stored>(stored: readonly T[], { builds, days }: Keep, now: number): T[] {
  const newestFirst = stored.toSorted((a, b) => b.at - a.at || (a.name < b.name ? -1 : 1));
  const kept = builds ?? (days === undefined ? newestFirst.length : 1);
  const youngest = days === undefined ? Number.POSITIVE_INFINITY : now - days * 24 * 60 * 60 * 1000;
  return newestFirst.slice(Math.max(kept, 1)).filter(({ at }) => at < youngest);
}

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

async function storedBuild(directory: string, name: string): Promise<Stored | undefined> {
  const stats = await stat(join(directory, name)).catch(() => undefined);
  return stats && { name, at: stats.mtimeMs };
}
