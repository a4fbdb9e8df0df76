import { UserError } from "../host/errors.ts";
import type { TargetName } from "../image/target-name.ts";

/** The folder beside the targets' folders that keeps a task's layers for its next run. */
const taskCache = "cache";

/** Names that a task's additional targets can't have, as these folders have another use. */
export const taskFolders: readonly string[] = ["image", taskCache];

/**
 * Checks that each additional target gets a folder of its own, with the target's name.
 * @param taken names that are already used beside these folders
 * @throws UserError whose message begins with `subject`
 */
export function checkTargetNames(
  names: readonly TargetName[],
  taken: readonly string[],
  subject: string,
): void {
  for (const name of names) {
    const shown = JSON.stringify(name);
    if (taken.includes(name)) {
      const owner = name === taskCache ? "task's layer cache" : `main target's own ${shown}`;
      throw new UserError(
        `${subject}: the folder of ${shown} would take the place of the ${owner}; give the stage another name`,
      );
    }
  }
}
