import { z } from "zod";
import { adviseOn } from "./foreign-names.ts";
import { readAs, readObject } from "./read-json.ts";
import { Source } from "./source.ts";

const version = z.record(z.string(), z.string());

const CheckRequest = z.strictObject({ source: z.unknown(), version: version.nullish() });

/** Concourse's request to `check`. The version is null as long as there is none. */
export interface CheckRequest {
  readonly source: Source;
  readonly version: Readonly<Record<string, string>> | null;
}

/** @throws UserError for a request that is no JSON, and for a source with a fault */
export function readCheckRequest(text: string): CheckRequest {
  const request = readAs(CheckRequest, readObject(text), "request");
  return {
    source: readAs(Source, request.source, "source", { advise: adviseOn("source") }),
    version: request.version ?? null,
  };
}
