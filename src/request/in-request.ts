import { z } from "zod";
import { UserError } from "../host/errors.ts";
import { type Digest, isDigest } from "../image/digest.ts";
import type { GetParams } from "./get-params.ts";
import { readAs, readObject } from "./read-json.ts";
import { readGetParams, readSource } from "./read-parts.ts";
import type { Source } from "./source.ts";

const InRequest = z.strictObject({
  source: z.unknown(),
  version: z.looseObject({ digest: z.string() }),
  params: z.unknown().optional(),
});

/** Concourse's request to `in`. */
export interface InRequest {
  readonly source: Source;
  readonly version: { readonly digest: Digest };
  readonly params: GetParams;
}

/** @throws UserError for a request that is no JSON, and for faults in source, version and params */
export function readInRequest(text: string): InRequest {
  const request = readAs(InRequest, readObject(text), "request");
  const { digest } = request.version;
  if (!isDigest(digest)) {
    throw new UserError(
      `version.digest: ${JSON.stringify(digest.slice(0, 80))} is no digest; expected sha256: and 64 hexadecimal digits, as a put of this resource gives them`,
    );
  }
  return {
    source: readSource(request.source),
    version: { digest },
    params: readGetParams(request.params ?? {}),
  };
}
