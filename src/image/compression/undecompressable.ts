import { UserError } from "../../host/errors.ts";
import type { Digest } from "../digest.ts";

/** The bytes are not valid in the format of their compression. The message is only the reason. */
export class UndecompressableError extends UserError {}

export function undecompressableLayer(digest: Digest, reason: string): UserError {
  return new UserError(
    `layer ${digest} can't be decompressed: ${reason}; the image was damaged or built from a damaged base: store it again, from another base if that doesn't help`,
  );
}
