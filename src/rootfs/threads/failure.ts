import { errorCode, messageOf, UserError } from "../../host/errors.ts";
import { TarError } from "../../image/tar/error.ts";

/** An error as it is sent from one thread to another, which loses its class. */
export interface ThreadFailure {
  readonly kind: "user" | "tar" | "other";
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
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
