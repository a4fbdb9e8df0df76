import { abortBudget } from "../../host/abort-budget.ts";
import { messageOf, UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import { mapAtOnce } from "../../host/map-at-once.ts";
import { buildName, isBuildName } from "../../image/build-version.ts";
import { type Digest, digestOf } from "../../image/digest.ts";
import type { RegistryClient } from "../../registry/client.ts";
import { deleteManifest, listTags, taggedDigest } from "../../registry/manifests.ts";
import { AttemptFailure } from "../../registry/registry-error.ts";
import type { Build } from "../build.ts";
import { decodeBuildIndex } from "../build-index.ts";
import { type DatedBuild, type Keep, oldBuilds } from "../keep.ts";
import { findManifest, type OpenedRepository } from "./opened-repository.ts";
import { isLease, takeLease } from "./prune-lease.ts";

/**
 * Milliseconds in which a build stays whatever `keep` says: the get that follows its put, and the jobs behind it, want
 * it, and the clocks of workers differ.
 */
const graceTime = 60 * 60_000;

/** Milliseconds that one put spends on removing; the next goes on with it. */
const pruneTime = 20_000;
const readAtOnce = 8;

export interface PruneOptions {
  readonly opened: OpenedRepository;
  readonly keep: Keep;
  readonly log: Log;
  /** The build that was stored just now: it stays, and others of its variant may go. */
  readonly build: Build;
  readonly signal: AbortSignal;
}

interface FoundBuild extends DatedBuild {
  /** Of its build index. */
  readonly digest: Digest;
}

/**
 * Removes the build indexes of old builds, by their digests: images and the author's tags stay. Nothing of it makes a
 * put fail, which has stored its build by then.
 */
export async function pruneBuilds({ opened, keep, log, build, signal }: PruneOptions): Promise<void> {
  const { client, blobs } = opened;
  try {
    const old = await findOldBuilds(opened, keep, { build, signal });
    if (old.length === 0) return;
    await proveDeletable(client, signal);
    const removed = await removeUnderLease(opened, old, { build, signal });
    if (removed === undefined) return;
    log.line(`keep: removed ${removed} old ${removed === 1 ? "build" : "builds"} from ${blobs.where}`);
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof AttemptFailure) && !(thrown instanceof UserError)) throw thrown;
    log.warn(
      `keep: old builds stay in ${blobs.where}: ${messageOf(thrown)}. Where the registry doesn't delete, or not for this user, remove keep and give the registry a rule for tags with build- (docs/cleaning-up.md)`,
    );
  }
}

/** Undefined when another put is removing builds. */
async function removeUnderLease(
  { client }: OpenedRepository,
  old: readonly FoundBuild[],
  { build, signal }: { build: Build; signal: AbortSignal },
): Promise<number | undefined> {
  // An abort lets the deletion under way end, and gives the lease back.
  using late = abortedLater(signal, abortBudget.child);
  const lease = await takeLease(client, build.targets[0].descriptor, late.signal);
  if (lease === undefined) return undefined;
  const removed = await removeAll(client, old, { signal, late: late.signal }).catch(
    async (thrown: unknown) => {
      // A request that was cut may still be under way: then the lease stays until it runs out.
      if (!(thrown instanceof AttemptFailure && thrown.retryable)) await lease.release(late.signal);
      throw thrown;
    },
  );
  await lease.release(late.signal);
  signal.throwIfAborted();
  return removed;
}

/** A signal that is aborted so many milliseconds after another. */
function abortedLater(
  signal: AbortSignal,
  milliseconds: number,
): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const later = () => setTimeout(() => controller.abort(signal.reason), milliseconds).unref();
  signal.addEventListener("abort", later, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => signal.removeEventListener("abort", later),
  };
}

async function findOldBuilds(
  { client, blobs }: OpenedRepository,
  keep: Keep,
  { build, signal }: { build: Build; signal: AbortSignal },
): Promise<readonly FoundBuild[]> {
  const own = buildName(build.version);
  const tags = (await listTags(client, signal)).filter((tag) => isBuildName(tag) && !isLease(tag));
  if (keep.days === undefined && tags.length <= (keep.builds ?? tags.length)) return [];
  const found: FoundBuild[] = [];
  await mapAtOnce(tags, { limit: readAtOnce, signal }, async (tag) => {
    const bytes = await findManifest(client, tag, signal);
    const stored = bytes && readBuild(bytes, blobs.where);
    if (bytes === undefined || stored === undefined || stored.put.variant !== build.put.variant) return;
    const at = tag === own ? Number.POSITIVE_INFINITY : stored.put.at;
    found.push({ name: tag, at, digest: digestOf(bytes) });
  });
  const now = Date.now();
  return oldBuilds(found, keep, now).filter(({ at }) => at < now - graceTime);
}

function readBuild(bytes: Buffer, where: string): Build | undefined {
  try {
    return decodeBuildIndex(bytes, where);
  } catch {
    // Whatever it is, no put of this release has stored it.
    return undefined;
  }
}

/** Asks for the deletion of what isn't there: a registry that deletes answers that, others that they don't. */
async function proveDeletable(client: RegistryClient, signal: AbortSignal): Promise<void> {
  const digest = digestOf(Buffer.from(crypto.randomUUID()));
  await deleteManifest(client, { digest, tag: undefined }, signal);
}

async function removeAll(
  client: RegistryClient,
  builds: readonly FoundBuild[],
  { signal, late }: { signal: AbortSignal; late: AbortSignal },
): Promise<number> {
  const end = performance.now() + pruneTime;
  let removed = 0;
  for (const { name, digest } of builds) {
    if (signal.aborted || performance.now() > end) break;
    // Another put may have stored it again.
    if ((await taggedDigest(client, name, late)) !== digest) continue;
    await deleteManifest(client, { digest, tag: name }, late);
    removed++;
  }
  return removed;
}
