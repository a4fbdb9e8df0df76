import { readCheckRequest } from "../request/check-request.ts";
import type { Invocation } from "./invocation.ts";

/**
 * Asks nothing of the world: a put's version is there at once, so there is never anything to find. The version
 * that Concourse knows is echoed, so that it stays the newest.
 */
export async function check({ readInput }: Invocation): Promise<unknown> {
  const { version } = readCheckRequest(await readInput());
  return version === null ? [] : [version];
}
