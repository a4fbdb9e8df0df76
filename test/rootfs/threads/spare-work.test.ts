import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { readDefaults } from "../../../src/rootfs/attributes.ts";
import { allocate, type Job, JobQueue, share, wake, word } from "../../../src/rootfs/threads/ring-buffer.ts";
import { SpareWork } from "../../../src/rootfs/threads/spare-work.ts";
import { randomBytes, randomFrom } from "../../support/runs/random.ts";

const defaults = readDefaults();
/** Each thread's counter, and that of the thread that it wakes. */
const counters = { writer: word.wakeWriter, producer: word.wakeProducer } as const;
type Name = keyof typeof counters;

/** Both threads' sides of one memory, which this thread steps in turn. */
class Both {
  readonly #memory = allocate();
  readonly shared = share(this.#memory);
  readonly jobs = new JobQueue(this.#memory.jobs);
  readonly writer = new SpareWork(share(this.#memory), { defaults, wakes: "producer" });
  readonly producer = new SpareWork(share(this.#memory), { defaults, wakes: "writer" });

  load(name: keyof typeof word): number {
    return Atomics.load(this.shared.words, word[name]);
  }

  /** Brings bytes, as the producer does before it wakes the writer. */
  fill(bytes: Buffer): void {
    bytes.copy(this.shared.ring, this.load("filled"));
    Atomics.add(this.shared.words, word.filled, bytes.length);
  }

  /** Leaves a job, as the writer does. */
  leave(dirfd: number, name: string): void {
    const time = { seconds: 1, nanoseconds: 0 };
    const job: Job = {
      dirfd,
      name,
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: time,
      atime: time,
      start: 0,
      length: 5,
    };
    this.jobs.write(this.load("given"), job);
    Atomics.add(this.shared.words, word.given, 1);
    wake(this.shared, word.wakeProducer);
  }

  /** A thread does one piece of spare work, or looks in vain for one. Returns false once the other has failed. */
  step(name: Name): boolean {
    let looks = 0;
    return this[name].waitUntil(counters[name], () => {
      // So it doesn't sleep if it finds nothing.
      if (looks === 0) wake(this.shared, counters[name]);
      return looks++ === 1;
    });
  }
}

test("two threads take turns at one digest, in any order", () => {
  const bytes = randomBytes(randomFrom(1), 3_000_000);
  for (let seed = 1; seed < 6; seed++) {
    const both = new Both();
    const random = randomBytes(randomFrom(seed), 100);
    both.fill(bytes);
    for (let turn = 0; both.load("hashed") !== bytes.length; turn++) {
      assert.ok(turn < random.length);
      both.step((random[turn] ?? 0) % 2 === 0 ? "writer" : "producer");
    }
    both.writer.digest();
    assert.deepEqual(Buffer.from(both.shared.digest), createHash("sha256").update(bytes).digest());
  }
});

test("jobs are done by either thread, in their order", async () => {
  await using place = await createPrivateFolder("test-spare-work");
  const dirfd = openSync(place.path, "r");
  const both = new Both();
  both.shared.ring.write("small");
  for (const name of ["a", "b", "c"]) both.leave(dirfd, name);
  for (const name of ["writer", "producer", "writer"] as const) both.step(name);
  closeSync(dirfd);
  assert.equal(both.load("done"), 3);
  for (const name of ["a", "b", "c"]) assert.equal(readFileSync(join(place.path, name), "utf8"), "small");
});

for (const [name, other] of [
  ["writer", "producer"],
  ["producer", "writer"],
] as const)
  test(`a small file that the ${name} can't make is an error there, and makes the ${other} stop and wake`, () => {
    const both = new Both();
    both.leave(-1, "a");
    const before = Atomics.load(both.shared.words, counters[other]);
    assert.throws(() => both.step(name), { code: "EBADF" });
    assert.notEqual(Atomics.load(both.shared.words, counters[other]), before);
    assert.equal(both.load("busy"), 0);
    assert.equal(both.load("done"), 0);
    assert.equal(both.step(other), false);
  });
