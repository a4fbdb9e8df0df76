import { errorCode } from "./errors.ts";

/** What `read` returns, or undefined if it throws: for what need not be there, be readable or be valid. */
export function orNone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** What `read` returns, or undefined if there is no such file or folder. Any other error is thrown. */
export function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    const code = errorCode(thrown);
    if (code !== "ENOENT" && code !== "ENOTDIR") throw thrown;
    return undefined;
  }
}
