/**
 * Runs tasks at the same time. When one fails, the others are aborted and awaited, so that nothing is still running
 * when the caller handles the error. Then the first error is thrown.
 * @param signal aborts all of them
 */
export async function concurrently<const T extends readonly ((signal: AbortSignal) => Promise<unknown>)[]>(
  signal: AbortSignal,
  tasks: T,
): Promise<{ -readonly [K in keyof T]: Awaited<ReturnType<T[K]>> }> {
  const failure = new AbortController();
  const shared = AbortSignal.any([signal, failure.signal]);
  let first: { readonly thrown: unknown } | undefined;
  const results = await Promise.all(
    tasks.map(async (task) => {
      try {
        return await task(shared);
      } catch (thrown) {
        first ??= { thrown };
        failure.abort(thrown);
        return undefined;
      }
    }),
  );
  if (first !== undefined) throw first.thrown;
  return results as { -readonly [K in keyof T]: Awaited<ReturnType<T[K]>> };
}
