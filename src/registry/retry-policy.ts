/** How long a registry is waited for. Milliseconds; `timeouts` of the source. */
export interface Timeouts {
  /** A transfer that brings next to nothing for so long has stalled; nor may an answer take longer to begin. */
  readonly stall: number;
  /** What fails for a reason that may pass is retried for so long. */
  readonly retry: number;
}

export const defaultTimeouts: Timeouts = { stall: 30_000, retry: 120_000 };

/**
 * When a failed attempt is retried. The same for gets, pushes and everything else that a registry is asked.
 * Milliseconds.
 */
export interface RetryPolicy {
  /** The last retry begins at most so long after the first attempt, or after the last progress. */
  readonly timeout: number;
  readonly firstPause: number;
  /** Pauses double until this one. */
  readonly longestPause: number;
}

export function retryPolicy({ retry }: Pick<Timeouts, "retry">): RetryPolicy {
  return { timeout: retry, firstPause: 250, longestPause: 15_000 };
}

/** Whether a status says "not now": RFC 9110 15.5.9 and 15.6, RFC 6585 4. Of 5xx, CDNs have their own (520 to 529). */
export function isRetryableStatus(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status < 600);
}

export interface FailedAttempt {
  /** Attempts that had failed before this one. */
  readonly failures: number;
  /** Milliseconds since the first attempt, or since the last progress. */
  readonly elapsed: number;
  /** Milliseconds that the registry asked to wait. */
  readonly retryAfter?: number | undefined;
}

/**
 * Milliseconds to wait before the next attempt; undefined when the time is up. What the registry asked for is waited
 * for, up to what is left of the time. Pure.
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
   * Call it when an attempt failed. Milliseconds to wait before the next one; undefined when the time is up.
   * @param timeout instead of the policy's
   */
  pause(failed?: { retryAfter?: number | undefined; timeout?: number }): number | undefined;
  /** Milliseconds since the first attempt, or since the last progress. */
  elapsed(): number;
  /** Pauses and time begin anew: for work that gets on between its failures, as a download does. */
  progress(): void;
}

/** The time begins now. @param now milliseconds of a clock that never goes back */
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
