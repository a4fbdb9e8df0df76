import { PutParams, taskForms } from "./put-params.ts";
import { readAs } from "./read-json.ts";
import { fromTaskForms } from "./task-syntax.ts";

/**
 * Reads params in either form, as a put has them, or a task in its environment.
 * @throws RequestError with all that is wrong
 */
export function readPutParams(given: Readonly<Record<string, unknown>>): PutParams {
  const { params, faults } = fromTaskForms(given, taskForms);
  return readAs(PutParams, params, "params", faults);
}
