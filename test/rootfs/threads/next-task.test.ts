import assert from "node:assert/strict";
import { test } from "node:test";
import { type Done, nextTask, type Task } from "../../../src/rootfs/threads/next-task.ts";
import { request, word } from "../../../src/rootfs/threads/ring-buffer.ts";

const backlog = 1024 * 1024;

/** What the hasher decides when the writer takes its steps before the given loads, in every possible way. */
function* everyInterleaving(steps: readonly (readonly [index: number, value: number])[], done: Done) {
  const loads = 4;
  const places = (loads + 1) ** steps.length;
  for (let place = 0; place < places; place++) {
    const before = steps.map((_, step) => Math.floor(place / (loads + 1) ** step) % (loads + 1));
    if (before.some((load, step) => step > 0 && load < (before[step - 1] ?? 0))) continue;
    const words = new Map<number, number>();
    let made = 0;
    let taken = 0;
    const advance = () => {
      for (let step = steps[taken]; step !== undefined && before[taken] === made; step = steps[taken]) {
        words.set(...step);
        taken++;
      }
    };
    const load = (index: number) => {
      advance();
      made++;
      return words.get(index) ?? 0;
    };
    const task: Task = nextTask(load, done, backlog);
    yield { before, task };
  }
}

test("no digest is told before the layer's last bytes are hashed, whenever the writer comes by", () => {
  const steps = [
    [word.filled, 512],
    [word.request, request.digest],
  ] as const;
  let cases = 0;
  for (const { before, task } of everyInterleaving(steps, { hashed: 0, jobs: 0 })) {
    assert.ok(
      task.kind === "hash" || task.kind === "wait",
      `${task.kind} with steps before ${before.join()}`,
    );
    cases++;
  }
  assert.equal(cases, 15);
});

test("the hasher doesn't end before the files that it was given are made", () => {
  const steps = [
    [word.given, 1],
    [word.request, request.end],
  ] as const;
  for (const { before, task } of everyInterleaving(steps, { hashed: 0, jobs: 0 })) {
    assert.ok(task.kind === "job" || task.kind === "wait", `${task.kind} with steps before ${before.join()}`);
  }
});

test("the hasher hashes first only what would soon leave the writer no room", () => {
  const words = new Map<number, number>([
    [word.filled, backlog + 1],
    [word.given, 1],
  ]);
  const load = (index: number) => words.get(index) ?? 0;
  assert.equal(nextTask(load, { hashed: 0, jobs: 0 }, backlog).kind, "hash");
  assert.equal(nextTask(load, { hashed: 1, jobs: 0 }, backlog).kind, "job");
  assert.equal(nextTask(load, { hashed: 1, jobs: 1 }, backlog).kind, "hash");
});

test("positions and jobs count on when they are over 32 bits", () => {
  const words = new Map<number, number>([[word.filled, -(2 ** 31) + 10]]);
  const task = nextTask((index) => words.get(index) ?? 0, { hashed: 2 ** 31 - 10, jobs: 0 }, backlog);
  assert.deepEqual(task, { kind: "hash", length: 20 });
});
