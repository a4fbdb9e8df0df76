import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../host/log.ts";
import { RegistryFailure } from "./registry-error.ts";

/** How long a registry is borne with. Milliseconds. */
export interface Limits {
  /** A transfer that brings next to nothing for so long has stalled; nor may an answer take longer to begin. */
  readonly stall: number;
  /** What fails for a reason that may pass is tried again for so long. */
  readonly retry: number;
}

export const defaultLimits: Limits = { stall: 30_000, retry: 120_000 };

const firstPause = 250;
const longestPause = 15_000;
/** For a registry that has never answered: a wrong name or port should be told soon. */
const unknownRetry = 2_000;

/** Tries again what may pass, and says so once. */
export class Patience {
  readonly limits: Limits;
  /** The registry has answered before, so it is there. */
  known = false;
  readonly #where: string;
  readonly #log: Log;
  #said = false;

  constructor({ limits, where, log }: { limits: Limits; where: string; log: Log }) {
    this.limits = limits;
    this.#where = where;
    this.#log = log;
  }

  /**
   * Runs attempts until one succeeds, fails for good, or the time is up.
   * @throws RegistryError for the last failure
   */
  async persevere<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    const trial = this.begin(signal);
    for (;;) {
      try {
        return await attempt();
      } catch (thrown) {
        await trial.again(thrown);
      }
    }
  }

  /** For work that knows best when it gets on, as a download does. */
  begin(signal: AbortSignal): Trial {
    let begun = performance.now();
    let tries = 0;
    return {
      progress: () => {
        begun = performance.now();
        tries = 0;
      },
      again: async (thrown) => {
        signal.throwIfAborted();
        if (!(thrown instanceof RegistryFailure)) throw thrown;
        if (!thrown.passing) throw thrown.toError(this.#where);
        const asked = thrown.retryAfter ?? 0;
        const pause = Math.min(Math.max(asked, firstPause * 2 ** tries++), longestPause);
        const isNew = thrown.fault === "unreachable" && !this.known;
        const limit = isNew ? Math.min(unknownRetry, this.limits.retry) : this.limits.retry;
        const spent = performance.now() - begun;
        if (spent + pause > limit) {
          throw thrown.toError(this.#where, tries > 1 ? ` (tried for ${Math.round(spent / 1000)} s)` : "");
        }
        if (!isNew) this.#say(thrown.message, limit);
        await delay(pause, undefined, { signal });
      },
    };
  }

  #say(reason: string, limit: number): void {
    if (this.#said) return;
    this.#said = true;
    this.#log.warn(`${this.#where}: ${reason}; trying again for up to ${Math.ceil(limit / 1000)} s`);
  }
}

export interface Trial {
  /** The time begins anew. */
  progress(): void;
  /** Waits before the next attempt. @throws RegistryError when there is none */
  again(thrown: unknown): Promise<void>;
}

/** `Retry-After` in milliseconds: a number of seconds, or a date (RFC 9110 10.2.3). */
export function retryAfterOf(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^\d{1,9}$/.test(header.trim()) ? Number(header) : Number.NaN;
  const wait = Number.isNaN(seconds) ? Date.parse(header) - now : seconds * 1000;
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined;
}
