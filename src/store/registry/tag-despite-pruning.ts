import { setTimeout as delay } from "node:timers/promises";
import type { RegistryClient } from "../../registry/client.ts";
import { listTags, taggedDigest } from "../../registry/manifests.ts";
import { leasesIn, leaseTime } from "./prune-lease.ts";

/** Milliseconds between two reads of the tags. */
const lookEvery = 250;

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
  for (;;) {
    const deadline = performance.now() + leaseTime;
    let leases = await leasesIn(client, await listTags(client, signal), signal);
    if (leases.length === 0) return;
    while (leases.length > 0 && performance.now() < deadline) {
      await delay(lookEvery, undefined, { signal });
      const now = await leasesIn(client, await listTags(client, signal), signal);
      // Puts whose leases came later have read the tag as it is now.
      leases = now.filter((lease) => leases.includes(lease));
    }
    if ((await taggedDigest(client, tag, signal)) !== undefined) return;
    await write();
  }
}
