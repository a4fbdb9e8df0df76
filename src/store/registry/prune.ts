import { abortBudget } from "../../host/abort-budget.ts";
import { messageOf, UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import { mapAtOnce } from "../../host/map-at-once.ts";
import { orNone } from "../../host/or-none.ts";
import { uniqueId } from "../../host/unique-id.ts";
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
 * Milliseconds for which a build stays whatever `keep` says. The get after its put and the jobs that follow need
 * it, and the workers' clocks differ.
 */
const graceTime = 60 * 60_000;

/** Milliseconds that one put spends on removing builds. The next put continues. */
const pruneTime = 20_000;
const readAtOnce = 8;

export interface PruneOptions {
  readonly opened: OpenedRepository;
  readonly keep: Keep;
  readonly log: Log;
  /** The build that was just stored. It stays, and only builds of its variant are removed. */
  readonly build: Build;
  readonly signal: AbortSignal;
}

interface FoundBuild extends DatedBuild {
  /** The digest of its build index. */
  readonly digest: Digest;
}

/**
 * Removes the build indexes of old builds by their digests. Images and the author's tags stay. A failure only
 * causes a warning, because the put has already stored its build.
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

/** Removes the builds and returns how many. Undefined if another put is removing builds. */
async function removeUnderLease(
  { client }: OpenedRepository,
  old: readonly FoundBuild[],
  { build, signal }: { build: Build; signal: AbortSignal },
): Promise<number | undefined> {
  // After an abort there is still time to finish the current deletion and to release the lease.
  using late = abortedLater(signal, abortBudget.child);
  const lease = await takeLease(client, build.targets[0].descriptor, late.signal);
  if (lease === undefined) return undefined;
  const removed = await removeAll(client, old, { signal, late: late.signal }).catch(
    async (thrown: unknown) => {
      // While the registry may still be executing the deletion, the lease stays until it expires.
      if (!(thrown instanceof AttemptFailure && thrown.mayStillRun)) await lease.release(late.signal);
      throw thrown;
    },
  );
  await lease.release(late.signal);
  signal.throwIfAborted();
  return removed;
}

/** A signal that is aborted this many milliseconds after another. */
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
    // What isn't a build index of this release isn't removed.
    const stored = bytes && orNone(() => decodeBuildIndex(bytes, blobs.where));
    if (bytes === undefined || stored === undefined || stored.put.variant !== build.put.variant) return;
    const at = tag === own ? Number.POSITIVE_INFINITY : stored.put.at;
    found.push({ name: tag, at, digest: digestOf(bytes) });
  });
  const now = Date.now();
  return oldBuilds(found, keep, now).filter(({ at }) => at < now - graceTime);
}

/**
 * Asks the registry to delete a digest that doesn't exist. This succeeds if the registry can delete and this user
 * may.
 * @throws AttemptFailure if the registry refuses
 */
async function proveDeletable(client: RegistryClient, signal: AbortSignal): Promise<void> {
  const digest = digestOf(Buffer.from(uniqueId()));
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
    // Another put may have stored this version again.
    if ((await taggedDigest(client, name, late)) !== digest) continue;
    await deleteManifest(client, { digest, tag: name }, late);
    removed++;
  }
  return removed;
}
