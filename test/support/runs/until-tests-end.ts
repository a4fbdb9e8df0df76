import { after } from "node:test";

const held = new AsyncDisposableStack();
after(() => held.disposeAsync());

/**
 * Waits for what a test file starts for all its tests: servers, daemons, folders. Each is disposed of when the file's
 * last test has ended, the last one first.
 */
export async function untilTestsEnd<T extends readonly Promise<AsyncDisposable>[]>(
  ...starting: T
): Promise<{ readonly [Index in keyof T]: Awaited<T[Index]> }> {
  const started = await Promise.all(starting);
  for (const each of started) held.use(each);
  return started;
}
