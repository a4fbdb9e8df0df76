import { createHash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { readDefaults } from "../attributes.ts";
import { describeFailure } from "./failure.ts";
import { makeSmallFile } from "./make-small-file.ts";
import { distance, Jobs, request, type SharedMemory, share, wake, word } from "./shared.ts";

/** Worker: hashes the ring's bytes and makes small files, as the writer asks. It blocks when there is nothing to do. */
const shared = share(workerData as SharedMemory);
const { words, ring } = shared;
const jobs = new Jobs(shared.jobs);
const defaults = readDefaults();
/** Bytes hashed before looking for a job again. */
const hashedAtOnce = 128 * 1024;
/** With more than so much to hash, that goes first: the writer soon has no room in the ring. */
const backlog = ring.length / 4;

let hash = createHash("sha256");

function work(): void {
  for (;;) {
    const before = Atomics.load(words, word.wakeHasher);
    const hashed = words[word.hashed] ?? 0;
    const done = words[word.done] ?? 0;
    const toHash = distance(hashed, Atomics.load(words, word.filled));
    const hasJob = Atomics.load(words, word.given) !== done;
    if (toHash > backlog || (toHash > 0 && !hasJob)) {
      hashSome(hashed, Math.min(toHash, hashedAtOnce));
    } else if (hasJob) {
      makeSmallFile(jobs.read(done), ring, defaults);
      Atomics.store(words, word.done, (done + 1) | 0);
      wake(shared, word.wakeWriter);
    } else if (Atomics.load(words, word.request) === request.end) {
      return;
    } else if (Atomics.load(words, word.request) === request.digest) {
      shared.digest.set(hash.digest());
      hash = createHash("sha256");
      Atomics.store(words, word.request, request.none);
      wake(shared, word.wakeWriter);
    } else {
      Atomics.wait(words, word.wakeHasher, before);
    }
  }
}

function hashSome(position: number, length: number): void {
  const start = position & (ring.length - 1);
  const taken = Math.min(length, ring.length - start);
  hash.update(ring.subarray(start, start + taken));
  Atomics.store(words, word.hashed, (position + taken) | 0);
  wake(shared, word.wakeWriter);
}

try {
  work();
} catch (thrown) {
  parentPort?.postMessage(describeFailure(thrown));
  Atomics.store(words, word.failed, 1);
  wake(shared, word.wakeWriter);
}
