import { UserError } from "../../host/errors.ts";
import type { Digest } from "../digest.ts";

/** The bytes aren't what their compression's format says; the message is the reason alone. */
export class UndecompressableError extends UserError {}

export function undecompressableLayer(digest: Digest, reason: string): UserError {
  return new UserError(`layer ${digest} can't be decompressed: ${reason}; store the image again`);
}
