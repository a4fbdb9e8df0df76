import { readCheckRequest } from "../request/check-request.ts";
import type { Invocation } from "./invocation.ts";

/**
 * Contacts nothing: Concourse gets a put's version from the put itself, so there is never anything to find. Returns
 * the version that Concourse knows, so that it stays the newest.
 */
export async function check({ readInput }: Invocation): Promise<unknown> {
  const { version } = readCheckRequest(await readInput());
  return version === null ? [] : [version];
}
