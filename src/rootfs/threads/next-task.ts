import { distance, word } from "./ring-buffer.ts";

/** What a thread does next that has nothing of its own to do; `length` in bytes. */
export type Task =
  | { readonly kind: "hash"; readonly length: number }
  | { readonly kind: "job" }
  | { readonly kind: "none" };

/** Bytes to hash before looking for something else to do. */
const hashedAtOnce = 128 * 1024;

/**
 * Decides what a thread does next instead of waiting.
 * @param load reads one of `words` at this moment: other threads may change another one between two calls
 * @param backlog with more unhashed bytes than this, hashing comes first: the producer will soon have no room in the
 * ring
 */
export function nextTask(load: (index: number) => number, backlog: number): Task {
  const toHash = load(word.unhashed) === 0 ? distance(load(word.hashed), load(word.filled)) : 0;
  const hasJob = load(word.given) !== load(word.done);
  if (toHash > backlog || (toHash > 0 && !hasJob))
    return { kind: "hash", length: Math.min(toHash, hashedAtOnce) };
  return { kind: hasJob ? "job" : "none" };
}
