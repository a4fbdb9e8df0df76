import type { Descriptor } from "../../image/descriptor.ts";
import { type Digest, digestOf } from "../../image/digest.ts";
import { mediaTypes } from "../../image/media-types.ts";
import type { RegistryClient } from "../../registry/client.ts";
import { deleteManifest, listTags, putManifest } from "../../registry/manifests.ts";
import { findManifest } from "./opened-repository.ts";

/**
 * A put that removes builds says so by a tag of its own, a lease, for as long as it does. Deleting a manifest takes the
 * tags along that led to it when the registry looked, although one of them may lead to a newer build by the time it
 * goes. So whoever removes builds first sets its lease and then reads what the tags lead to; whoever stores a build
 * first sets its tag and then looks for leases. At least one of the two sees the other.
 */

/** No digest begins like that, and the tags of builds are reserved. */
const leasePrefix = `build-${"0".repeat(32)}`;

/** Milliseconds. Nobody deletes under a lease for longer, nor waits for one. */
export const leaseTime = 60_000;
/** Milliseconds after which a lease is that of a put that died, whatever the clocks of workers say. */
const deadAfter = 10 * 60_000;

const takenAnnotation = "org.concourse-ci.oci-build.removing-since";

export function isLease(tag: string): boolean {
  return tag.startsWith(leasePrefix);
}

export interface Lease {
  /** Gives it back; where it can't be deleted, as one that has run out. */
  release(signal: AbortSignal): Promise<void>;
}

/**
 * Takes a lease; undefined when another put has one.
 * @param image any image of the repository: an index has to name one
 */
export async function takeLease(
  client: RegistryClient,
  image: Descriptor,
  signal: AbortSignal,
): Promise<Lease | undefined> {
  if ((await leasesIn(client, await listTags(client, signal), signal)).length > 0) return undefined;
  const tag = `${leasePrefix}${crypto.randomUUID().replaceAll("-", "")}`;
  const document = leaseDocument(tag, image, Date.now());
  await putManifest(client, { document, mediaType: mediaTypes.ociIndex, tag }, signal);
  const lease: Lease = {
    async release(late) {
      await deleteManifest(client, { digest: digestOf(document), tag }, late).catch(async () => {
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

/** The leases among tags that may still be in use; those of puts that died are removed. */
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
  // It counts for nothing, whether it can be removed or not.
  await deleteManifest(client, lease, signal).catch(() => undefined);
  signal.throwIfAborted();
}

function leaseDocument(tag: string, { mediaType, digest, size }: Descriptor, at: number): Buffer {
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [{ mediaType, digest, size }],
    // The tag gives it bytes, and so a digest, of its own.
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
