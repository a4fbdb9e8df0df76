/** Waits for a promise, at most until a signal is aborted. Answers whether the promise settled first; rejects as it does. */
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
