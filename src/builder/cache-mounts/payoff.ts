import { createHash } from "node:crypto";
import * as z from "zod";
import { sum } from "../../host/sum.ts";
import type { RanStep } from "../progress/followed-solve.ts";
import { type CacheMount, mountKey } from "./mount-flags.ts";

const recordId = z.string().regex(/^[0-9a-f]{16}$/);
const time = z.number().int().nonnegative();

/** How long a step took when its cache mounts were empty. */
const StepRecord = z.object({ step: recordId, seconds: z.number().nonnegative(), used: time });
/** What was found about the cache mounts that a build uses together. */
const GroupRecord = z.object({
  group: recordId,
  /** The number of builds in a row in which copying took longer than it saved. */
  losses: z.number().int().nonnegative(),
  /** Milliseconds since 1970. Until then these mounts are neither restored nor saved. */
  pausedUntil: time,
  used: time,
});

/**
 * What a list of saved mounts remembers about whether they pay. Its text may come from anyone: the worst that it can
 * do is to pause cache mounts, for as long as {@link pauseLength}.
 */
export const Payoff = z.object({
  steps: z.array(StepRecord).max(100),
  groups: z.array(GroupRecord).max(100),
});
export type Payoff = z.output<typeof Payoff>;

export const noPayoff: Payoff = { steps: [], groups: [] };

/** So many builds in a row have to lose time before mounts are paused, as one build may have met a busy machine. */
export const mostLosses = 3;
/** Milliseconds. */
export const pauseLength = 7 * 24 * 60 * 60 * 1000;
/** Seconds. A smaller loss is not noticed by anyone, and not told from chance. */
const toleratedLoss = 1;

/** The cache mounts that a build uses together. */
export interface MountGroup {
  readonly mounts: readonly CacheMount[];
  /** The RUN instructions that use them, as the Dockerfile has them. If they change, nothing is known about them. */
  readonly instructions: string;
}

/** What one build has shown about its cache mounts. */
export interface MountsTrial extends MountGroup {
  /** Whether the mounts held saved content when the steps began. Undefined if only some of them did. */
  readonly wereRestored: boolean | undefined;
  /** The steps that were run and use cache mounts. */
  readonly ran: readonly RanStep[];
  /** Seconds that restoring took, for which the build waited. */
  readonly restoring: number;
  /** Bytes to save, as a share of those restored. */
  readonly savedShare: number;
}

/** Seconds that a build gained and lost by its cache mounts. */
export interface Balance {
  /** The time of the steps with empty mounts, minus their time with restored content. May be negative. */
  readonly gained: number;
  readonly lost: number;
}

/**
 * Compares the steps' times with those when the mounts were empty.
 *
 * The build waits for restoring, so all of it is lost. Saving runs beside the export and slows it down: on two
 * processors about half of the time that it takes is lost. It is taken to last as long as restoring, byte for byte,
 * since its own time is known only when the list has been written. Pure.
 * @returns undefined if there is nothing to compare
 */
export function balanceOf({ steps }: Payoff, trial: MountsTrial): Balance | undefined {
  if (trial.wereRestored !== true) return undefined;
  const gains = Array.from(secondsOf(trial), ([step, now]) => {
    const empty = steps.find((record) => record.step === step)?.seconds;
    return empty === undefined ? undefined : empty - now;
  });
  if (gains.length === 0 || gains.includes(undefined)) return undefined;
  return { gained: sum(gains.map((gain) => gain ?? 0)), lost: trial.restoring * (1 + trial.savedShare / 2) };
}

/** Adds a build to what is remembered. Pure. */
export function remember(payoff: Payoff, trial: MountsTrial, now: number): Payoff {
  const balance = balanceOf(payoff, trial);
  if (balance === undefined && trial.wereRestored !== false) return payoff;
  const emptySteps = trial.wereRestored === false ? secondsOf(trial) : new Map<string, number>();
  const steps = [
    ...Array.from(emptySteps, ([step, seconds]) => ({ step, seconds, used: now })),
    ...payoff.steps.filter(({ step }) => !emptySteps.has(step)),
  ];
  const group = groupOf(trial);
  const known = payoff.groups.find((record) => record.group === group);
  const isLoss = balance !== undefined && balance.lost - balance.gained > toleratedLoss;
  const losses = balance === undefined ? (known?.losses ?? 0) : isLoss ? (known?.losses ?? 0) + 1 : 0;
  const isPaused = losses >= mostLosses;
  const record = {
    group,
    losses: isPaused ? 0 : losses,
    pausedUntil: isPaused ? now + pauseLength : 0,
    used: now,
  };
  return {
    steps: newest(steps),
    groups: newest([record, ...payoff.groups.filter((other) => other !== known)]),
  };
}

/** Until when these mounts are paused, in milliseconds since 1970. Undefined if they are not. Pure. */
export function pausedUntil({ groups }: Payoff, mounts: MountGroup, now: number): number | undefined {
  const until = groups.find(({ group }) => group === groupOf(mounts))?.pausedUntil ?? 0;
  return until > now && until <= now + pauseLength ? until : undefined;
}

function newest<T extends { readonly used: number }>(records: readonly T[]): T[] {
  return records.toSorted((a, b) => b.used - a.used).slice(0, 50);
}

/** Steps are known by their places: their text has the values of build args, which may be others in each build. */
function secondsOf({ ran, instructions }: MountsTrial): ReadonlyMap<string, number> {
  return new Map(
    ran.map(({ name, seconds }) => [shortHash(JSON.stringify([instructions, name.place])), seconds]),
  );
}

function groupOf({ mounts, instructions }: MountGroup): string {
  return shortHash(JSON.stringify([instructions, ...mounts.map(mountKey).toSorted()]));
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
