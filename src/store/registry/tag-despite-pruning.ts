import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../../host/errors.ts";
import type { RegistryClient } from "../../registry/client.ts";
import { hasTag, listTags } from "../../registry/manifests.ts";
import { leasesIn, leaseTime } from "./prune-lease.ts";

/** Milliseconds between two reads of the tags. */
const lookEvery = 250;
/** No other puts remove a tag so often. */
const mostWrites = 10;

export interface BuildTag {
  readonly tag: string;
  /** Sets the tag. */
  readonly write: () => Promise<void>;
  /** Whether no other put can be removing a build under this tag. */
  readonly isSafe: boolean;
}

/**
 * Sets the tag of a build so that it stays, although other puts may be removing the build that it led to before.
 * Waits until they are done, and sets the tag again if they removed it (see prune-lease.ts).
 */
export async function tagDespitePruning(
  client: RegistryClient,
  { tag, write, isSafe }: BuildTag,
  signal: AbortSignal,
): Promise<void> {
  await write();
  if (isSafe) return;
  for (let written = 1; ; written++) {
    await leasesReleased(client, signal);
    // Even if no lease was seen: one may have been released after its put had removed the tag.
    if (await hasTag(client, tag, signal)) return;
    if (written === mostWrites)
      throw new UserError(
        `tag ${tag} was set ${written} times, and each time it was gone when it was read again: check whether a rule of the registry removes tags with build-, and run the put again`,
      );
    await write();
  }
}

/** Waits until the leases that exist now are released, but not longer than puts may delete under them. */
async function leasesReleased(client: RegistryClient, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + leaseTime;
  let leases = await leasesIn(client, await listTags(client, signal), signal);
  while (leases.length > 0 && performance.now() < deadline) {
    await delay(lookEvery, undefined, { signal });
    const now = await leasesIn(client, await listTags(client, signal), signal);
    // Puts whose leases came later have read the tag as it is now.
    leases = now.filter((lease) => leases.includes(lease));
  }
}
