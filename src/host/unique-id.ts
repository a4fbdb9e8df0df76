import { randomUUID } from "node:crypto";

/**
 * A random UUID. Node's cache of random bytes isn't used: if it were filled before a start-up snapshot is taken, all
 * programs that start from that would make the same IDs.
 */
export function uniqueId(): string {
  return randomUUID({ disableEntropyCache: true });
}
