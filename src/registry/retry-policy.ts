/** How long to wait for a registry, in milliseconds: `timeouts` of the source. */
export interface Timeouts {
  /** A transfer that brings next to nothing for this long has stalled. A response must begin within this time. */
  readonly stall: number;
  /** Failures that may pass are retried for this long. */
  readonly retry: number;
}

export const defaultTimeouts: Timeouts = { stall: 30_000, retry: 120_000 };

/** When to retry a failed attempt, in milliseconds. The same policy applies to every request to a registry. */
export interface RetryPolicy {
  /** The last retry begins at most this long after the first attempt, or after the last progress. */
  readonly timeout: number;
  readonly firstPause: number;
  /** Pauses double up to this length. */
  readonly longestPause: number;
}

export function retryPolicy({ retry }: Pick<Timeouts, "retry">): RetryPolicy {
  return { timeout: retry, firstPause: 250, longestPause: 15_000 };
}

/**
 * Whether a request with this status may succeed later: RFC 9110 15.5.9 and 15.6, RFC 6585 4. All of 5xx count,
 * because CDNs have statuses of their own there (520 to 529).
 */
export function isRetryableStatus(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status < 600);
}

export interface FailedAttempt {
  /** Number of attempts that failed before this one. */
  readonly failures: number;
  /** Milliseconds since the first attempt, or since the last progress. */
  readonly elapsed: number;
  /** Milliseconds that the registry asked to wait (`Retry-After`). */
  readonly retryAfter?: number | undefined;
}

/**
 * Milliseconds to wait before the next attempt, or undefined if the time is up. Waits as long as the registry
 * asked, but no longer than the time that is left. Pure.
 */
export function pauseBeforeRetry(
  { timeout, firstPause, longestPause }: RetryPolicy,
  { failures, elapsed, retryAfter = 0 }: FailedAttempt,
): number | undefined {
  const left = timeout - elapsed;
  if (left <= 0) return undefined;
  const backoff = Math.min(firstPause * 2 ** failures, longestPause);
  return Math.min(Math.max(retryAfter, backoff), left);
}

/** The retries of one operation. */
export interface Retries {
  /**
   * Call it when an attempt has failed. Returns the milliseconds to wait before the next one, or undefined if the
   * time is up.
   * @param failed `timeout` replaces the policy's
   */
  pause(failed?: { retryAfter?: number | undefined; timeout?: number }): number | undefined;
  /** Milliseconds since the first attempt, or since the last progress. */
  elapsed(): number;
  /** Restarts the pauses and the time: for work that makes progress between its failures, as a download does. */
  progress(): void;
}

/**
 * Starts the retry time.
 * @param now milliseconds of a clock that never goes back
 */
export function startRetries(policy: RetryPolicy, now: () => number = () => performance.now()): Retries {
  let begun = now();
  let failures = 0;
  return {
    pause: ({ retryAfter, timeout = policy.timeout } = {}) =>
      pauseBeforeRetry({ ...policy, timeout }, { failures: failures++, elapsed: now() - begun, retryAfter }),
    elapsed: () => now() - begun,
    progress: () => {
      begun = now();
      failures = 0;
    },
  };
}

/** `Retry-After` in milliseconds: a number of seconds, or a date (RFC 9110 10.2.3). */
export function retryAfterOf(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^\d{1,9}$/.test(header.trim()) ? Number(header) : Number.NaN;
  const wait = Number.isNaN(seconds) ? Date.parse(header) - now : seconds * 1000;
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined;
}
