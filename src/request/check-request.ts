import * as z from "zod";
import { RequestError } from "./faults.ts";
import { adviseOn } from "./foreign-names.ts";
import { readAs, readObject } from "./read-json.ts";
import { readSourcePartly, type Source } from "./source.ts";
import { readBuildVersion } from "./version.ts";

const CheckRequest = z.strictObject({
  source: z.unknown(),
  version: z.record(z.string(), z.string()).nullish(),
});

/** Concourse's request to `check`. The version is null if there is none yet. */
export interface CheckRequest {
  readonly source: Source;
  /** As Concourse gave it. */
  readonly version: Readonly<Record<string, string>> | null;
}

/**
 * Reads Concourse's request to `check`.
 * @throws UserError if the request isn't JSON, the source has faults, or the version isn't one of this resource
 */
export function readCheckRequest(text: string): CheckRequest {
  const request = readAs(CheckRequest, readObject(text), "request");
  const { value: source, faults } = readSourcePartly(request.source, adviseOn("source"));
  if (source === undefined || faults.length > 0) throw new RequestError(faults);
  const version = request.version ?? null;
  if (version !== null) readBuildVersion(version);
  return { source, version };
}
