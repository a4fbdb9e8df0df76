import { distance, request, word } from "./ring-buffer.ts";

/** What the hasher does next; `length` in bytes. */
export type Task =
  | { readonly kind: "hash"; readonly length: number }
  | { readonly kind: "job" | "digest" | "end" | "wait" };

/** What the hasher has done. */
export interface Done {
  /** Position up to which bytes are hashed. */
  readonly hashed: number;
  /** Jobs done. */
  readonly jobs: number;
}

/** Bytes to hash before looking for a job again. */
const hashedAtOnce = 128 * 1024;

/**
 * Decides what the hasher does next.
 * @param load reads one of `words` at this moment: the writer may change another one between two calls
 * @param backlog with more unhashed bytes than this, hashing comes first: the writer will soon have no room in the
 * ring
 */
export function nextTask(load: (index: number) => number, done: Done, backlog: number): Task {
  // Read first: the writer asks for the digest only after the layer's last bytes are in the ring.
  const asked = load(word.request);
  const toHash = load(word.unhashed) === 0 ? distance(done.hashed, load(word.filled)) : 0;
  const hasJob = load(word.given) !== done.jobs;
  if (toHash > backlog || (toHash > 0 && !hasJob))
    return { kind: "hash", length: Math.min(toHash, hashedAtOnce) };
  if (hasJob) return { kind: "job" };
  if (asked === request.end) return { kind: "end" };
  return { kind: asked === request.digest ? "digest" : "wait" };
}
