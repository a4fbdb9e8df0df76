import { isRetryableStatus } from "../../registry/retry-policy.ts";
import type { LayerCache } from "../plan/layer-cache.ts";

/** What a solve can do without. */
export type CacheFailure = "reading" | "writing";

/**
 * Whether a solve's failure is that of a layer cache, and so to be overcome by building without one. Layers of a cache
 * are fetched only when a step needs them, so a damaged one shows as that step's failure; and BuildKit forgives a
 * cache that can't be written, but not one that it can't even begin with. Pure.
 */
export function cacheFailureIn(
  failure: string,
  { locations }: Pick<LayerCache, "locations">,
): CacheFailure | undefined {
  if (locations.length === 0 || isOfProgram(failure) || isOfPath(failure)) return undefined;
  if (/^failed to configure \w+ cache exporter|^exporting cache to \S/m.test(failure)) return "writing";
  if (/^failed to configure \w+ cache importer/m.test(failure)) return "reading";
  const isLost =
    /unexpected commit digest|failed commit on ref(?!.*unexpected status)|failed to copy|httpReadSeeker|blob .*not found|content sha256:\w+: not found|failed to compute cache key/;
  if (isLost.test(failure)) return "reading";
  // buildctl itself writes a local cache, and says no more than what the system says of a file there.
  const folders = locations.flatMap(({ attributes: { directory } }) => directory ?? []);
  return folders.some((folder) => failure.includes(folder)) ? "writing" : undefined;
}

/**
 * Whether a solve failed at the push for a reason that may pass: the registry is busy or begins anew, or the network
 * was cut. BuildKit has then tried for some seconds itself, and the store has proven before that it takes a push.
 * One that misses a blob is in a race, see {@link isPushRace}. Pure.
 */
export function isPassingPush(failure: string): boolean {
  if (!/^failed to push /m.test(failure)) return false;
  const [, status = ""] = /(?:: |answers )(\d{3})\b/.exec(failure) ?? [];
  return (
    isRetryableStatus(Number(status)) ||
    isPushRace(failure) ||
    /toomanyrequests|^failed to push \S+: unknown$|connection re(set|fused)|broken pipe|\bEOF\b|i\/o timeout|TLS handshake timeout|no such host|server misbehaving|no route to host|network is unreachable/im.test(
      failure,
    )
  );
}

/**
 * Whether a registry didn't see a manifest's blobs, all of which it had just taken. It will in a moment: the reference
 * implementation on a disk of its own misses one whose link another push is writing again, as an image's layers and
 * those of its layer cache are pushed side by side. Pure.
 */
export function isPushRace(failure: string): boolean {
  return /blob unknown/i.test(failure);
}

/**
 * A COPY, an ADD or a bind mount of what isn't there. The path is looked up for the step's cache key, and so is every
 * layer that comes from a cache fetched: what is said of that doesn't begin with a path.
 */
function isOfPath(failure: string): boolean {
  return /failed to calculate checksum of ref \S+: (?:"[^"]*": |too many links|lstat )/.test(failure);
}

/** A RUN that ended with a status said by itself what is wrong. */
function isOfProgram(failure: string): boolean {
  return /exit code: \d+/.test(failure);
}
