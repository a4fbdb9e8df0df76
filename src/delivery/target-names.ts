import { UserError } from "../host/errors.ts";
import type { TargetName } from "../image/target-name.ts";

/**
 * Checks that each additional target gets a folder of its own, named like it.
 * @param taken names of what lies beside these folders
 * @throws UserError naming `subject`
 */
export function checkTargetNames(
  names: readonly TargetName[],
  taken: readonly string[],
  subject: string,
): void {
  const seen = new Set<string>();
  for (const name of names) {
    const shown = JSON.stringify(name);
    if (taken.includes(name)) {
      throw new UserError(
        `${subject}: the folder of ${shown} would take the place of the main target's own ${shown}; name the stage otherwise`,
      );
    }
    if (seen.has(name)) throw new UserError(`${subject}: ${shown} is there twice; remove one`);
    seen.add(name);
  }
}
