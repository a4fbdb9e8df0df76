import { UserError } from "../../host/errors.ts";

/** The bytes are not valid in the format of their compression. The message is only the reason. */
export class UndecompressableError extends UserError {}

/** Why gzip with more than zeros and empty members behind it is refused. Go's reader refuses it too. */
export const followedGzip = "something else follows its last gzip member";
