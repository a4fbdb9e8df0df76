import { UserError } from "../../host/errors.ts";
import type { Digest } from "../digest.ts";

/** The bytes are not valid in the format of their compression. The message is only the reason. */
export class UndecompressableError extends UserError {}

export function undecompressableLayer(digest: Digest, reason: string): UserError {
  return new UserError(`layer ${digest} can't be decompressed: ${reason}; store the image again`);
}
