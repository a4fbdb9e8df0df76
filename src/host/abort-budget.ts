/** The time that Concourse gives a step between SIGTERM and SIGKILL. In milliseconds, like all times here. */
export const concourseLimit = 10_000;

/**
 * How a step spends the time after an abort:
 *
 * 1. `child`: every program that was started gets SIGTERM at once, and SIGKILL after this time.
 * 2. `daemon`: our own buildkitd gets SIGKILL, and the step waits for its end.
 * 3. `child` again: a program that is still removing folders at {@link tidyingTime} gets SIGTERM, then SIGKILL.
 * 4. `rest`: small tasks, such as removing private folders. Then the process exits ({@link exitTime}).
 */
export const abortBudget = { child: 2_000, daemon: 2_000, rest: 2_000 } as const;

/** Time from an abort until clean-up that is still running must stop (StepContext's `late`). */
export const tidyingTime: number = abortBudget.child + abortBudget.daemon;

/** Time from an abort until the process exits, whatever is left to do. The kernel ends its children with it. */
export const exitTime: number = tidyingTime + abortBudget.child + abortBudget.rest;
