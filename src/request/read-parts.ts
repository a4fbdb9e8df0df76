import { type AuthorNames, namesOfPut } from "../host/author-names.ts";
import { RequestError } from "./faults.ts";
import { adviseOn } from "./foreign-names.ts";
import { GetParams, getFields } from "./get-params.ts";
import { type PutParams, putParams, readPutFields, taskForms } from "./put-params.ts";
import { type PartlyRead, readAs, unreliable } from "./read-json.ts";
import { faultsBy, type Rule } from "./rules.ts";
import { readSourcePartly, type Source, sourceFields } from "./source.ts";
import { fromTaskForms } from "./task-syntax.ts";

const namesOfSource = adviceFor(sourceFields, "it belongs in the resource's source");
const namesOfParams = adviceFor(putParams, "it belongs in the put's params");

const advice = {
  source: adviseOn("source", namesOfParams),
  put: adviseOn(
    "put",
    new Map([...namesOfSource, ...adviceFor(getFields, "it belongs in the put's get_params")]),
  ),
  get: adviseOn("get", new Map([...namesOfSource, ...namesOfParams])),
};

function adviceFor(fields: object, where: string): ReadonlyMap<string, string> {
  return new Map(Object.keys(fields).map((name) => [name, where]));
}

/** What a put is asked for. The source is undefined if it isn't known. */
export interface PutRequest {
  readonly source: Source | undefined;
  readonly params: PutParams;
  /** What its author calls them. */
  readonly names: AuthorNames;
}

/** Rules of a command, which is told what its libraries refuse before it begins. */
export interface PutRules {
  readonly ofSource: readonly Rule<Source>[];
  readonly ofPut: readonly Rule<PutRequest>[];
}

const none: PutRules = { ofSource: [], ofPut: [] };

/**
 * Reads a source as far as it has no faults.
 * @param rules further rules about what was read
 */
export function sourcePartly(given: unknown, rules: readonly Rule<Source>[] = []): PartlyRead<Source> {
  const { value, faults } = readSourcePartly(given, advice.source);
  if (value === undefined) return { value, faults };
  return { value, faults: [...faults, ...faultsBy(rules, value, unreliable(faults))] };
}

/**
 * Reads a source.
 * @param rules further rules about what was read
 * @throws UserError with all faults
 */
export function readSource(given: unknown, rules: readonly Rule<Source>[] = []): Source {
  return faultless(sourcePartly(given, rules));
}

/**
 * Reads params in either form, as in a put or as in a task's environment, as far as they have no faults.
 * @param source the put's source as far as it is known, for the rules that read it too
 * @param rules further rules about what was read
 * @param names what their author calls them
 */
export function paramsPartly(
  given: Readonly<Record<string, unknown>>,
  source: PartlyRead<Source> = { value: undefined, faults: [] },
  rules: readonly Rule<PutRequest>[] = [],
  names: AuthorNames = namesOfPut,
): PartlyRead<PutParams> {
  const { params, faults: found } = fromTaskForms(given, taskForms, { advise: advice.put, names });
  const { value, faults } = readPutFields(params, { found, advise: advice.put, names });
  if (value === undefined) return { value, faults };
  const inSource = unreliable(source.faults);
  const known = rules.filter(
    ({ ofSource }) => ofSource === undefined || (source.value && !ofSource.some(inSource.isFaulty)),
  );
  const request = { source: source.value, params: value, names };
  return { value, faults: [...faults, ...faultsBy(known, request, unreliable(faults))] };
}

/**
 * Reads the source and the params of a put.
 * @throws UserError with all faults of both
 */
export function readPut(
  given: { readonly source: unknown; readonly params: Readonly<Record<string, unknown>> },
  { ofSource, ofPut }: PutRules = none,
): { readonly source: Source; readonly params: PutParams } {
  const source = sourcePartly(given.source, ofSource);
  const params = paramsPartly(given.params, source, ofPut);
  if (source.value === undefined || params.value === undefined || source.faults.length > 0)
    throw new RequestError([...source.faults, ...params.faults]);
  return { source: source.value, params: faultless(params) };
}

function faultless<T>({ value, faults }: PartlyRead<T>): T {
  if (value === undefined || faults.length > 0) throw new RequestError(faults);
  return value;
}

/**
 * Reads a get's params.
 * @param subject what messages call them
 * @throws UserError with all faults
 */
export function readGetParams(given: unknown, subject = "params"): GetParams {
  return readAs(GetParams, given, subject, { advise: advice.get });
}
