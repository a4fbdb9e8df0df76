/**
 * Which builds to keep: this many of the newest, and those that aren't older than this many days. All others are
 * removed.
 */
export interface Keep {
  readonly builds?: number | undefined;
  readonly days?: number | undefined;
}

export interface DatedBuild {
  readonly name: string;
  /** When the build was stored, in milliseconds since 1970. */
  readonly at: number;
}

/** The builds to remove. The newest is always kept. Pure. */
export function oldBuilds<T extends DatedBuild>(
  stored: readonly T[],
  { builds, days }: Keep,
  now: number,
): T[] {
  const newestFirst = stored.toSorted((a, b) => b.at - a.at || (a.name < b.name ? -1 : 1));
  const kept = builds ?? (days === undefined ? newestFirst.length : 1);
  const youngest = days === undefined ? Number.POSITIVE_INFINITY : now - days * 24 * 60 * 60 * 1000;
  return newestFirst.slice(Math.max(kept, 1)).filter(({ at }) => at < youngest);
}

/** For messages: `{builds: 3, days: 7}`. */
export function formatKeep(keep: Keep): string {
  const fields = Object.entries(keep).filter(([, value]) => value !== undefined);
  return `{${fields.map(([name, value]) => `${name}: ${value}`).join(", ")}}`;
}
