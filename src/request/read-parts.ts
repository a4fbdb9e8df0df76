import { adviseOn } from "./foreign-names.ts";
import { GetParams, getFields } from "./get-params.ts";
import { PutParams, putParams, taskForms } from "./put-params.ts";
import { readAs } from "./read-json.ts";
import { Source, sourceFields } from "./source.ts";
import { fromTaskForms } from "./task-syntax.ts";

const inSource = adviceFor(sourceFields, "it belongs in the resource's source");
const inPut = adviceFor(putParams, "it belongs in the put's params");

const advice = {
  source: adviseOn("source", inPut),
  put: adviseOn("put", new Map([...inSource, ...adviceFor(getFields, "it belongs in the put's get_params")])),
  get: adviseOn("get", new Map([...inSource, ...inPut])),
};

function adviceFor(fields: object, where: string): ReadonlyMap<string, string> {
  return new Map(Object.keys(fields).map((name) => [name, where]));
}

/** @throws UserError with all faults */
export function readSource(given: unknown): Source {
  return readAs(Source, given, "source", { advise: advice.source });
}

/**
 * Reads params in either form: as in a put, or as in a task's environment.
 * @throws UserError with all faults
 */
export function readPutParams(given: Readonly<Record<string, unknown>>): PutParams {
  const { params, faults } = fromTaskForms(given, taskForms, advice.put);
  return readAs(PutParams, params, "params", { found: faults, advise: advice.put });
}

/** @throws UserError with all faults */
export function readGetParams(given: unknown): GetParams {
  return readAs(GetParams, given, "params", { advise: advice.get });
}
