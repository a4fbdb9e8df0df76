import * as z from "zod";
import type { BuildVersion } from "../image/build-version.ts";
import type { GetParams } from "./get-params.ts";
import { readAs, readObject } from "./read-json.ts";
import { readGetParams, readSource } from "./read-parts.ts";
import type { Rule } from "./rules.ts";
import type { Source } from "./source.ts";
import { readBuildVersion } from "./version.ts";

const InRequest = z.strictObject({
  source: z.unknown(),
  version: z.record(z.string(), z.unknown()),
  params: z.unknown().optional(),
});

/** Concourse's request to `in`. */
export interface InRequest {
  readonly source: Source;
  readonly version: BuildVersion;
  readonly params: GetParams;
}

/**
 * Reads Concourse's request to `in`.
 * @param rules further rules about the source
 * @throws UserError if the request isn't JSON, or its source, version or params have faults
 */
export function readInRequest(text: string, rules: readonly Rule<Source>[] = []): InRequest {
  const request = readAs(InRequest, readObject(text), "request");
  return {
    source: readSource(request.source, rules),
    version: readBuildVersion(request.version),
    params: readGetParams(request.params ?? {}),
  };
}
