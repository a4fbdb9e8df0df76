import * as z from "zod";
import { formatBytes, formatSetting } from "../../host/format.ts";
import type { MountSettings } from "../plan/layer-cache.ts";
import { type CacheMount, keptId, mountKey, ownershipOf } from "./mount-flags.ts";
import { noPayoff, Payoff } from "./payoff.ts";
import { type SavedContent, weightOf } from "./transfer-dockerfile.ts";

const SavedEntry = z.object({
  id: z.string().regex(keptId),
  ownership: z
    .string()
    .regex(/^((uid=\d{1,10}|gid=\d{1,10}|mode=[0-7]{1,11})(,(?=\w)|$)){0,3}$/)
    .transform((text) => ownershipOf(Object.fromEntries(new URLSearchParams(text.replaceAll(",", "&"))))),
  key: z.string().regex(/^[0-9a-f]{32}$/),
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.number().int().nonnegative(),
  /** The number of its files, folders and links. Lists of earlier versions don't have it. */
  entries: z.number().int().nonnegative().default(0),
  /** When a build last used it, in milliseconds since 1970. */
  used: z.number().int().nonnegative(),
});

/** A mount whose content is saved in a cache. */
export interface SavedMount extends SavedContent {
  /** A hash of the names, owners, modes, sizes and times of all files. */
  readonly fingerprint: string;
  readonly bytes: number;
  /** The number of files, folders and links. */
  readonly entries: number;
  readonly used: number;
}

/** The list is passed to BuildKit as a secret, which may have at most 500 KB. */
export const mostMounts = 500;

/** What a cache says about the cache mounts that it holds. */
export interface SavedList {
  readonly mounts: readonly SavedMount[];
  readonly payoff: Payoff;
}

export const emptyList: SavedList = { mounts: [], payoff: noPayoff };

const List = z.object({
  version: z.literal(1),
  mounts: z.array(z.unknown()).max(mostMounts),
  payoff: Payoff.catch(noPayoff),
});

/** Parses the list that a cache holds. Its text may come from anyone, so invalid entries are left out. */
export function parseSavedList(text: string): SavedList {
  if (text.trim() === "") return emptyList;
  const { mounts, payoff } = List.parse(JSON.parse(text));
  const valid = mounts.flatMap((given) => {
    const { success, data } = SavedEntry.safeParse(given);
    if (!success) return [];
    const { id, ownership, ...rest } = data;
    return [{ ...rest, mount: { id, ownership } }];
  });
  return { mounts: valid, payoff };
}

export function formatSavedList({ mounts, payoff }: SavedList): string {
  const entries = mounts.map(({ mount, ...rest }) => ({ ...mount, ...rest }));
  return JSON.stringify({ version: 1, mounts: entries, payoff });
}

export function findSaved(list: readonly SavedMount[], mount: CacheMount): SavedMount | undefined {
  return list.find((saved) => mountKey(saved.mount) === mountKey(mount));
}

/** Why content is not copied, or undefined if it is within the limit. Pure. */
export function limitProblem(
  content: { readonly bytes: number; readonly entries: number },
  { limit, isFixed = false }: Pick<MountSettings, "limit" | "isFixed">,
): string | undefined {
  if (weightOf(content) <= limit) return undefined;
  const { bytes, entries } = content;
  const less = "let the steps leave less in it";
  const most = isFixed
    ? `more than the ${formatSetting(limit)} that a task keeps: ${less}`
    : `more than cache.mounts.limit, ${formatSetting(limit)}: raise it, or ${less}`;
  if (bytes > limit) return `its ${formatBytes(bytes)} are ${most}`;
  return `its ${formatBytes(bytes)} in ${entries} files, folders and links count as ${formatBytes(weightOf(content))}, which is ${most}`;
}

/**
 * Chooses the mounts that fit into `limit` bytes, as {@link weightOf} counts them: the last used first, and of equal age
 * the smaller first. Pure.
 * @returns both the kept and the dropped mounts
 */
export function withinLimit(
  mounts: readonly SavedMount[],
  limit: number,
): { readonly kept: readonly SavedMount[]; readonly dropped: readonly SavedMount[] } {
  const kept: SavedMount[] = [];
  const dropped: SavedMount[] = [];
  let left = limit;
  for (const mount of mounts.toSorted((a, b) => b.used - a.used || weightOf(a) - weightOf(b))) {
    const weight = weightOf(mount);
    if (weight <= left && kept.length < mostMounts) {
      left -= weight;
      kept.push(mount);
    } else dropped.push(mount);
  }
  return { kept, dropped };
}
