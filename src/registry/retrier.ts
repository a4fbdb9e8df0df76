import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../host/log.ts";
import { AttemptFailure } from "./registry-error.ts";
import type { RepositoryPlace } from "./repository-place.ts";
import { type RetryPolicy, startRetries } from "./retry-policy.ts";

/** Milliseconds to retry a registry that has never answered, so that a wrong name or port is reported soon. */
const unknownTimeout = 2_000;

/** Retries failures that may pass. Only the first retry is logged. */
export class Retrier {
  /** Whether the registry has answered before, so that its name and port are right. */
  known = false;
  readonly #policy: RetryPolicy;
  readonly #place: RepositoryPlace;
  readonly #log: Log;
  #said = false;

  constructor({ policy, place, log }: { policy: RetryPolicy; place: RepositoryPlace; log: Log }) {
    this.#policy = policy;
    this.#place = place;
    this.#log = log;
  }

  /**
   * Makes attempts until one succeeds, one fails for good, or the time is up.
   * @throws RegistryError for the last failure
   */
  async run<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    const attempts = this.begin(signal);
    for (;;) {
      try {
        return await attempt();
      } catch (thrown) {
        await attempts.failed(thrown);
      }
    }
  }

  /** For work that makes its own attempts and reports its progress, as a download does. */
  begin(signal: AbortSignal): Attempts {
    const retries = startRetries(this.#policy);
    let isRetry = false;
    return {
      progress: () => {
        retries.progress();
        isRetry = false;
      },
      failed: async (thrown) => {
        signal.throwIfAborted();
        if (!(thrown instanceof AttemptFailure)) throw thrown;
        if (!thrown.retryable) throw thrown.toError(this.#place);
        const isNew = (thrown.fault === "unreachable" || thrown.fault === "proxy") && !this.known;
        const timeout = isNew ? Math.min(unknownTimeout, this.#policy.timeout) : this.#policy.timeout;
        const pause = retries.pause({ retryAfter: thrown.retryAfter, timeout });
        if (pause === undefined) {
          const seconds = Math.round(retries.elapsed() / 1000);
          throw thrown.toError(this.#place, isRetry ? ` (tried for ${seconds} s)` : "");
        }
        isRetry = true;
        if (!isNew) this.#say(thrown.message, timeout);
        await delay(pause, undefined, { signal });
      },
    };
  }

  #say(reason: string, timeout: number): void {
    if (this.#said) return;
    this.#said = true;
    this.#log.warn(`${this.#place.name}: ${reason}; retrying for up to ${Math.ceil(timeout / 1000)} s`);
  }
}

/** The attempts of one operation. */
export interface Attempts {
  /** Restarts the retry time. */
  progress(): void;
  /**
   * Waits before the next attempt.
   * @throws RegistryError if there is no next attempt
   */
  failed(thrown: unknown): Promise<void>;
}
