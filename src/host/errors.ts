/**
 * An error that the pipeline's author can fix. The message names the subject, what was found, what was expected and
 * what to change. It is printed without a stack and ends the step with status 1. Anything else that is thrown is a
 * bug (status 2, with its stack). Credentials never enter the message.
 */
export class UserError extends Error {
  override readonly name = "UserError";
}

/** The step was aborted (SIGTERM, SIGINT). The message is for the log only. */
export class AbortError extends Error {
  override readonly name = "AbortError";
}

/** The message of anything thrown, without a stack. It may have several lines. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The `code` of a Node system error (`ENOENT`, `ENOSPC` …), if it is one. */
export function errorCode(thrown: unknown): string | undefined {
  if (thrown instanceof Error && "code" in thrown && typeof thrown.code === "string") return thrown.code;
  return undefined;
}
