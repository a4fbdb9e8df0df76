/** What `read` returns, or undefined if it throws: for files that need not be there or be readable. */
export function orNone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
