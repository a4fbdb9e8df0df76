import { UserError } from "../host/errors.ts";
import type { BuildVersion } from "../image/build-version.ts";
import { formatKeep, type Keep } from "./keep.ts";

/**
 * The error for a build that a store no longer has.
 * @param where the name of the store, and what else it holds, for the message
 */
export function missingBuild({ digest }: BuildVersion, where: string, keep: Keep | undefined): UserError {
  const cause =
    keep === undefined
      ? "it was deleted there, by a person or by a rule that removes old tags"
      : `probably because of keep: ${formatKeep(keep)} in the source, which removes older builds`;
  return new UserError(
    `build ${digest} is no longer in ${where}: ${cause}. A put that builds the same image stores it again; a job that asks for it by a pin, as a re-run or by passed needs a newer version`,
  );
}
