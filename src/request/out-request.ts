import * as z from "zod";
import type { PutParams } from "./put-params.ts";
import { readAs, readObject } from "./read-json.ts";
import { type PutRules, readPut } from "./read-parts.ts";
import type { Source } from "./source.ts";

const OutRequest = z.strictObject({
  source: z.unknown(),
  params: z.record(z.string(), z.unknown()).nullish(),
});

/** Concourse's request to `out`. */
export interface OutRequest {
  readonly source: Source;
  readonly params: PutParams;
}

/**
 * Reads Concourse's request to `out`.
 * @param rules further rules about source and params
 * @throws UserError if the request isn't JSON, or with all faults of its source and its params
 */
export function readOutRequest(text: string, rules?: PutRules): OutRequest {
  const { source, params } = readAs(OutRequest, readObject(text), "request");
  return readPut({ source, params: params ?? {} }, rules);
}
