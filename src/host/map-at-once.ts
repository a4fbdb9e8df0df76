/**
 * Runs `work` for each item, up to `limit` at a time, and returns the results in order. When one fails, the others'
 * signal is aborted. The first error is thrown once all have ended, so that nothing is still running then.
 */
export async function mapAtOnce<T, R>(
  items: readonly T[],
  { limit, signal }: { limit: number; signal: AbortSignal },
  work: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const failure = new AbortController();
  const either = AbortSignal.any([signal, failure.signal]);
  const results: R[] = [];
  const rest = items.entries();
  const worker = async (): Promise<void> => {
    try {
      for (const [index, item] of rest) {
        either.throwIfAborted();
        results[index] = await work(item, either);
      }
    } catch (error) {
      failure.abort(error);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (failure.signal.aborted) throw failure.signal.reason;
  return results;
}
