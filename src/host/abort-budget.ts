/** What Concourse gives a step between SIGTERM and SIGKILL. Milliseconds, as all of these. */
export const concourseLimit = 10_000;

/**
 * How a step spends the time after an abort:
 *
 * 1. `child`: every program that was started gets SIGTERM at once, and SIGKILL after this.
 * 2. `daemon`: a buildkitd of our own gets SIGKILL, and its end is waited for.
 * 3. `child` again: a program that still removes folders then is given up ({@link tidyingTime}).
 * 4. `rest`: what is small, such as the removal of private folders. Then the process exits ({@link exitTime}).
 */
export const abortBudget = { child: 2_000, daemon: 2_000, rest: 2_000 } as const;

/** After an abort: when whoever still tidies up leaves the rest (StepContext's `late`). */
export const tidyingTime: number = abortBudget.child + abortBudget.daemon;

/** After an abort: when the process exits, whatever is left. The kernel ends its children with it. */
export const exitTime: number = tidyingTime + abortBudget.child + abortBudget.rest;
