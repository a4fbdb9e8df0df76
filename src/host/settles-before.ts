/**
 * Waits for a promise, but no longer than until a signal is aborted. Returns whether the promise was fulfilled
 * first. Rejects if the promise rejects first.
 */
export async function settlesBefore(promise: Promise<unknown>, until: AbortSignal): Promise<boolean> {
  const { promise: aborted, resolve } = Promise.withResolvers<boolean>();
  const stop = (): void => resolve(false);
  if (until.aborted) stop();
  until.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([promise.then(() => true), aborted]);
  } finally {
    until.removeEventListener("abort", stop);
  }
}
