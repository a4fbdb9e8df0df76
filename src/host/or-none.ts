/** What `read` returns, or undefined if it throws: for what need not be there, be readable or be valid. */
export function orNone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
