import { distance, request, word } from "./ring-buffer.ts";

/** What the hasher does next; `length` in bytes. */
export type Task =
  | { readonly kind: "hash"; readonly length: number }
  | { readonly kind: "job" | "digest" | "end" | "wait" };

/** What the hasher itself has done: only it changes these. */
export interface Done {
  /** Position up to which it has hashed. */
  readonly hashed: number;
  /** Jobs done. */
  readonly jobs: number;
}

/** Bytes hashed before looking for a job again. */
const hashedAtOnce = 128 * 1024;

/**
 * Decides what the hasher does next.
 * @param load reads one of `words` as it is at that moment: the writer may go on between two of them
 * @param backlog with more bytes than this to hash, that goes first: the writer soon has no room in the ring
 */
export function nextTask(load: (index: number) => number, done: Done, backlog: number): Task {
  // Before the others: what the writer asks for at a layer's end it asks after the layer's last bytes.
  const asked = load(word.request);
  const toHash = distance(done.hashed, load(word.filled));
  const hasJob = load(word.given) !== done.jobs;
  if (toHash > backlog || (toHash > 0 && !hasJob))
    return { kind: "hash", length: Math.min(toHash, hashedAtOnce) };
  if (hasJob) return { kind: "job" };
  if (asked === request.end) return { kind: "end" };
  return { kind: asked === request.digest ? "digest" : "wait" };
}
