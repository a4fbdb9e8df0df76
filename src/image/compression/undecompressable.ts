import { UserError } from "../../host/errors.ts";
import { damagedLayer } from "../damaged-layer.ts";
import type { Digest } from "../digest.ts";

/** The bytes are not valid in the format of their compression. The message is only the reason. */
export class UndecompressableError extends UserError {}

/** Why gzip with more than zeros and empty members behind it is refused. Go's reader, which most tools use, refuses it too. */
export const followedGzip = "something else follows its last gzip member";

export function undecompressableLayer(digest: Digest, reason: string): UserError {
  return damagedLayer(digest, `can't be decompressed: ${reason}`);
}
