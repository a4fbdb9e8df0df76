import { createHash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { readDefaults } from "../attributes.ts";
import { describeFailure, type ThreadFailure } from "./failure.ts";
import { makeSmallFile } from "./make-small-file.ts";
import { nextTask } from "./next-task.ts";
import { JobQueue, type Loaded, request, type SharedMemory, share, wake, word } from "./ring-buffer.ts";

export type HasherMessage = Loaded | { readonly kind: "failed"; readonly failure: ThreadFailure };

/**
 * Worker: hashes the bytes in the ring and makes small files for the writer. It blocks when there is nothing to do.
 */
const shared = share(workerData as SharedMemory);
const { words, ring } = shared;
const jobs = new JobQueue(shared.jobs);
const defaults = readDefaults();
const backlog = ring.length / 4;
const readWord = (index: number) => Atomics.load(words, index);

let hash = createHash("sha256");

function work(): void {
  for (;;) {
    const before = readWord(word.wakeHasher);
    const done = { hashed: words[word.hashed] ?? 0, jobs: words[word.done] ?? 0 };
    const task = nextTask(readWord, done, backlog);
    switch (task.kind) {
      case "hash":
        hashSome(done.hashed, task.length);
        break;
      case "job":
        makeSmallFile(jobs.read(done.jobs), ring, defaults);
        Atomics.store(words, word.done, (done.jobs + 1) | 0);
        wake(shared, word.wakeWriter);
        break;
      case "digest":
        shared.digest.set(hash.digest());
        hash = createHash("sha256");
        Atomics.store(words, word.request, request.none);
        wake(shared, word.wakeWriter);
        break;
      case "end":
        return;
      case "wait":
        Atomics.wait(words, word.wakeHasher, before);
    }
  }
}

function hashSome(position: number, length: number): void {
  const start = position & (ring.length - 1);
  const taken = Math.min(length, ring.length - start);
  hash.update(ring.subarray(start, start + taken));
  Atomics.store(words, word.hashed, (position + taken) | 0);
  wake(shared, word.wakeProducer);
}

const tell = (message: HasherMessage) => parentPort?.postMessage(message);
tell({ kind: "loaded" });
try {
  work();
} catch (thrown) {
  tell({ kind: "failed", failure: describeFailure(thrown) });
  Atomics.store(words, word.failed, 1);
  wake(shared, word.wakeWriter);
  wake(shared, word.wakeProducer);
}
