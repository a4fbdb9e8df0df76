import { errorCode, messageOf, UserError } from "../../host/errors.ts";
import { TarError } from "../../image/tar/error.ts";

/** An error as it is sent from one thread to another, which loses its class. */
export interface ThreadFailure {
  readonly kind: "user" | "tar" | "other";
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
}

/** The code of the error by which a thread ends because something else has failed, which has the cause. */
const stoppedCode = "ERR_STOPPED";

/** @returns what a thread throws that has been told to stop */
export function stoppedError(): Error {
  return Object.assign(new Error("another thread has failed"), { code: stoppedCode });
}

/** Whether a thread has ended because it was told to stop, and not by a failure of its own. */
export function isStopped({ code }: ThreadFailure): boolean {
  return code === stoppedCode;
}

export function describeFailure(thrown: unknown): ThreadFailure {
  return {
    kind: thrown instanceof UserError ? "user" : thrown instanceof TarError ? "tar" : "other",
    message: messageOf(thrown),
    stack: thrown instanceof Error ? thrown.stack : undefined,
    code: errorCode(thrown),
  };
}

/** The error that a thread has sent. */
export function errorOfThread({ kind, message, stack, code }: ThreadFailure): Error {
  if (kind === "user") return new UserError(message);
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  if (kind === "tar") error.name = "TarError";
  return code === undefined ? error : Object.assign(error, { code });
}
