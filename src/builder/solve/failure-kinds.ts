import { isRetryableStatus } from "../../registry/retry-policy.ts";
import type { LayerCache } from "../plan/layer-cache.ts";

// These tell by the reason of a failure (SolveFailure), which has BuildKit's words and nothing of the Dockerfile's.

/** The use of a layer cache that failed. A solve can do without it. */
export type CacheFailure = "reading" | "writing";

/**
 * Whether the layer cache made a solve fail, so that the build can succeed without the cache. Returns undefined for
 * any other failure. Pure.
 *
 * A cache's layers are only fetched when a step needs them, so a damaged layer appears as that step's failure.
 * BuildKit ignores errors while writing a cache, but not errors while setting it up.
 */
export function cacheFailureIn(
  reason: string,
  { locations }: Pick<LayerCache, "locations">,
): CacheFailure | undefined {
  if (locations.length === 0 || isOfProgram(reason) || isOfPath(reason)) return undefined;
  if (/^failed to configure \w+ cache exporter|^exporting cache to \S/m.test(reason)) return "writing";
  if (/^failed to configure \w+ cache importer/m.test(reason)) return "reading";
  const isLost =
    /unexpected commit digest|failed commit on ref(?!.*unexpected status)|failed to copy|httpReadSeeker|blob .*not found|content sha256:\w+: not found|failed to compute cache key/;
  if (isLost.test(reason)) return "reading";
  // buildctl itself writes a local cache. Its error is only the system's, which names a file in the cache's folder.
  const folders = locations.flatMap(({ attributes: { directory } }) => directory ?? []);
  return folders.some((folder) => reason.includes(folder)) ? "writing" : undefined;
}

/**
 * Whether a push failed for a reason that may pass: the registry is busy or restarting, or the network was cut.
 * BuildKit itself has then only retried for some seconds. The failure isn't a lack of permission, because it was
 * checked before the build that the registry accepts a push. A missing blob counts too, see {@link isPushRace}.
 * Pure.
 */
export function isPassingPush(reason: string): boolean {
  if (!/^failed to push /m.test(reason)) return false;
  const [, status = ""] = /: (\d{3})\b/.exec(reason) ?? [];
  return (
    isRetryableStatus(Number(status)) ||
    isPushRace(reason) ||
    /toomanyrequests|^failed to push \S+: unknown$|connection re(set|fused)|broken pipe|\bEOF\b|i\/o timeout|TLS handshake timeout|no such host|server misbehaving|no route to host|network is unreachable/im.test(
      reason,
    )
  );
}

/**
 * Whether a registry reported blobs of a manifest as missing although it had just received them. It finds them a
 * moment later. The cause is known for the reference implementation on a local disk: it misses a blob while another
 * push rewrites the blob's link, and an image's layers and those of its layer cache are pushed at the same time. It
 * never finds those with digests of another algorithm than its own, sha256. Pure.
 */
export function isPushRace(reason: string): boolean {
  return /blob unknown/i.test(reason) && !/\bsha(?:384|512):/.test(reason);
}

/**
 * Whether a COPY, an ADD or a bind mount can't find its path. BuildKit looks the path up for the step's cache key,
 * and the messages begin with `failed to compute cache key: failed to calculate checksum of ref …: `. They end with
 * one of
 * - `"/missing.txt": not found`
 * - `too many links` (a loop of symlinks)
 * - `lstat /var/lib/buildkit-mount3568771957/bin/busybox/x: not a directory` (a path below a file).
 *
 * Layers of a cache are fetched at the same point. A failure there has no path in this place: `failed to compute
 * cache key: failed to copy: httpReadSeeker: failed open: …`.
 */
function isOfPath(reason: string): boolean {
  return /failed to calculate checksum of ref \S+: (?:"[^"]*": |too many links|lstat )/.test(reason);
}

/** Whether a program in a RUN ended with an error. Its own output then says what is wrong. */
function isOfProgram(reason: string): boolean {
  return /exit code: \d+/.test(reason);
}
