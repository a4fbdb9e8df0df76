import { PutParams, upperCaseForms } from "./put-params.ts";
import { readAs } from "./read-json.ts";
import { findForm, lowerCaseParams } from "./upper-case.ts";

/**
 * Reads a task's params from its environment. They are there beside much else, so a variable counts only when its
 * name is a param's; one that is set to nothing counts as not given, as in the oci-build task.
 * @throws UserError for a value that its param can't take
 */
export function readTaskParams(env: Readonly<Record<string, string | undefined>>): PutParams {
  const given = Object.entries(env).filter(
    ([name, value]) => value !== undefined && value !== "" && findForm(name, upperCaseForms) !== undefined,
  );
  return readAs(PutParams, lowerCaseParams(Object.fromEntries(given), upperCaseForms), "params");
}
