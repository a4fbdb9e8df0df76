import { z } from "zod";
import type { PutParams } from "./put-params.ts";
import { readAs, readObject } from "./read-json.ts";
import { readPutParams, readSource } from "./read-parts.ts";
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

/** @throws UserError if the request isn't JSON, or its source or params have faults */
export function readOutRequest(text: string): OutRequest {
  const request = readAs(OutRequest, readObject(text), "request");
  return {
    source: readSource(request.source),
    params: readPutParams(request.params ?? {}),
  };
}
