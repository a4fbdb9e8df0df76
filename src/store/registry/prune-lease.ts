import { uniqueId } from "../../host/unique-id.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { type Digest, digestOf } from "../../image/digest.ts";
import { mediaTypes } from "../../image/media-types.ts";
import type { RegistryClient } from "../../registry/client.ts";
import { deleteManifest, listTags, putManifest } from "../../registry/manifests.ts";
import { findManifest } from "./opened-repository.ts";

/**
 * While a put removes builds, it holds a lease: a tag of its own. This prevents the following race. Deleting a
 * manifest also deletes the tags that led to it when the registry looked them up, although one of them may lead to
 * a newer build by then.
 *
 * A put that removes builds first sets its lease and then reads where the tags lead. A put that stores a build first
 * sets its tag, then waits while there are leases, and then looks whether its tag is still there. So either the one
 * that removes sees the new tag, or the one that stores sees that it has gone.
 */

/** No real digest begins like this, and tags of this form are reserved for builds. */
const leasePrefix = `build-${"0".repeat(32)}`;

/** Milliseconds. No put deletes under its lease for longer than this, or waits for another's lease for longer. */
export const leaseTime = 60_000;
/** Milliseconds after which the put that took a lease must have died, even if the workers' clocks differ. */
const deadAfter = 10 * 60_000;

const takenAnnotation = "org.concourse-ci.oci-build.removing-since";

export function isLease(tag: string): boolean {
  return tag.startsWith(leasePrefix);
}

export interface Lease {
  /** Deletes the lease. If the registry can't delete it, overwrites it with one that has expired. */
  release(signal: AbortSignal): Promise<void>;
}

/**
 * Takes a lease, or returns undefined if another put has one.
 * @param image any image of the repository: the lease is an index, and an index has to name an image
 */
export async function takeLease(
  client: RegistryClient,
  image: Descriptor,
  signal: AbortSignal,
): Promise<Lease | undefined> {
  if ((await leasesIn(client, await listTags(client, signal), signal)).length > 0) return undefined;
  const tag = `${leasePrefix}${uniqueId().replaceAll("-", "")}`;
  const document = leaseDocument(tag, image, Date.now());
  await putManifest(client, { document, mediaType: mediaTypes.ociIndex, tag }, signal);
  const lease: Lease = {
    async release(late) {
      const own = { digest: digestOf(document), tag };
      // Nothing else has this digest, so deleting it twice harms nothing.
      await client.retrier
        .run(late, () => deleteManifest(client, own, late))
        .catch(async () => {
          const expired = leaseDocument(tag, image, 0);
          await putManifest(client, { document: expired, mediaType: mediaTypes.ociIndex, tag }, late);
        });
    },
  };
  const others = await leasesIn(client, await listTags(client, signal), signal);
  if (others.every((other) => other === tag)) return lease;
  await lease.release(signal);
  return undefined;
}

/** The tags that are leases and may still be in use. Leases of puts that died are removed. */
export async function leasesIn(
  client: RegistryClient,
  tags: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const tag of tags.filter(isLease)) {
    const bytes = await findManifest(client, tag, signal);
    if (bytes === undefined) continue;
    if (Math.abs(Date.now() - takenAt(bytes)) < deadAfter) found.push(tag);
    else await removeDead(client, { digest: digestOf(bytes), tag }, signal);
  }
  return found;
}

async function removeDead(
  client: RegistryClient,
  lease: { digest: Digest; tag: string },
  signal: AbortSignal,
): Promise<void> {
  // A dead lease is ignored even if it can't be removed.
  await deleteManifest(client, lease, signal).catch(() => undefined);
  signal.throwIfAborted();
}

function leaseDocument(tag: string, { mediaType, digest, size }: Descriptor, at: number): Buffer {
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [{ mediaType, digest, size }],
    // The tag makes the bytes, and so the digest, unique.
    annotations: { [takenAnnotation]: new Date(at).toISOString(), [`${takenAnnotation}.by`]: tag },
  };
  return Buffer.from(JSON.stringify(index));
}

function takenAt(bytes: Buffer): number {
  try {
    const { annotations } = JSON.parse(bytes.toString("utf8")) as { annotations?: Record<string, string> };
    return Date.parse(annotations?.[takenAnnotation] ?? "");
  } catch {
    return Number.NaN;
  }
}
