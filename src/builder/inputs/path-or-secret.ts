import { lstatSync, readdirSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { UserError } from "../../host/errors.ts";
import { orNone } from "../../host/or-none.ts";
import type { InputFolder } from "./input-folder.ts";

/** Where people give the path of a file, or by mistake the secret itself. */
export interface SecretPlace {
  readonly subject: string;
  readonly folder: InputFolder;
  /** What was given. */
  readonly path: string;
  /** What is expected, and how the secret itself is given: `expected the path of a file. …`. */
  readonly expected: string;
}

/**
 * Uses a path that may be a secret by mistake. If that fails, nothing of it is shown unless its first part is there.
 * @throws UserError as `use`, or one without the path
 */
export async function withPathUnshown<T>(place: SecretPlace, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (thrown) {
    const { subject, folder, path, expected } = place;
    if (isSurelyPath(folder, path)) throw thrown;
    const there = (orNone(() => readdirSync(folder.path)) ?? []).toSorted();
    const listed = there.slice(0, 20).join(", ") + (there.length > 20 ? ", …" : "");
    throw new UserError(
      `${subject}: there is no file of the given name, which isn't shown because it may be the secret itself; ${expected} (the ${folder.kind}'s folder holds: ${listed || "nothing"})`,
    );
  }
}

/** Whether a text is one line, and its first part is in the folder or, if it begins with `/`, there. */
function isSurelyPath(folder: InputFolder, path: string): boolean {
  if (/[\r\n]/.test(path)) return false;
  const first = path.split("/").find((part) => part !== "" && part !== ".");
  if (first === undefined) return true;
  return orNone(() => lstatSync(join(isAbsolute(path) ? "/" : folder.path, first))) !== undefined;
}
