import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import type { RegistryClient } from "../../registry/client.ts";
import { hasTag, listTags } from "../../registry/manifests.ts";
import { leasesIn, leaseTime } from "./prune-lease.ts";

/** Milliseconds between two reads of the tags. */
const lookEvery = 250;
/** Milliseconds before each further look for a tag: a registry may answer from a copy that doesn't have it yet. */
const pauses = [250, 500, 1_000, 2_000];
/** Other puts don't remove a tag so often: only one of them may at a time, and only if it read the tags before. */
const mostWrites = 3;

export interface BuildTag {
  readonly tag: string;
  /** Sets the tag. */
  readonly write: () => Promise<void>;
  /** Whether no other put can be removing a build under this tag. */
  readonly isSafe: boolean;
  /** The repository, for messages. */
  readonly where: string;
  readonly log: Log;
}

/**
 * Sets the tag of a build so that it stays, although other puts may be removing the build that it led to before.
 * Waits until they are done, and sets the tag again if they removed it (see prune-lease.ts).
 */
export async function tagDespitePruning(
  client: RegistryClient,
  { tag, write, isSafe, where, log }: BuildTag,
  signal: AbortSignal,
): Promise<void> {
  await write();
  if (isSafe) return;
  let wasLeased = false;
  for (let written = 1; ; written++) {
    wasLeased = (await leasesReleased(client, signal)) || wasLeased;
    // Even if no lease was seen: one may have been released after its put had removed the tag.
    if (await appears(client, tag, signal)) return;
    if (written === mostWrites) break;
    await write();
  }
  const found = `${where}: tag ${tag} was set ${mostWrites} times, and each time the registry then had no such tag`;
  const advice = "check whether a rule of the registry removes tags with build-";
  if (wasLeased) throw new UserError(`${found}: ${advice}, and run the put again`);
  // No other put has removed it, and the registry has answered that it is stored.
  log.warn(`${found}. The registry may only show it later; if no get finds this build, ${advice}`);
}

/** Whether the registry shows a tag that was set, now or soon. */
async function appears(client: RegistryClient, tag: string, signal: AbortSignal): Promise<boolean> {
  for (const pause of pauses) {
    if (await hasTag(client, tag, signal)) return true;
    await delay(pause, undefined, { signal });
  }
  return hasTag(client, tag, signal);
}

/**
 * Waits until the leases that exist now are released, but not longer than puts may delete under them.
 * @returns whether there were any
 */
async function leasesReleased(client: RegistryClient, signal: AbortSignal): Promise<boolean> {
  const deadline = performance.now() + leaseTime;
  let leases = await leasesIn(client, await listTags(client, signal), signal);
  const wereThere = leases.length > 0;
  while (leases.length > 0 && performance.now() < deadline) {
    await delay(lookEvery, undefined, { signal });
    const now = await leasesIn(client, await listTags(client, signal), signal);
    // Puts whose leases came later have read the tag as it is now.
    leases = now.filter((lease) => leases.includes(lease));
  }
  return wereThere;
}
