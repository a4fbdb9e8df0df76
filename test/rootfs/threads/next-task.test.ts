import assert from "node:assert/strict";
import { test } from "node:test";
import { nextTask } from "../../../src/rootfs/threads/next-task.ts";
import { word } from "../../../src/rootfs/threads/ring-buffer.ts";

const backlog = 1024 * 1024;

function taskWith(words: Readonly<Partial<Record<keyof typeof word, number>>>) {
  const values: number[] = [];
  for (const [name, index] of Object.entries(word)) values[index] = words[name as keyof typeof word] ?? 0;
  return nextTask((index) => values[index] ?? 0, backlog);
}

test("what is hashed first is only what would soon leave the producer no room", () => {
  assert.equal(taskWith({ filled: backlog + 1, given: 1 }).kind, "hash");
  assert.equal(taskWith({ filled: backlog + 1, hashed: 1, given: 1 }).kind, "job");
  assert.equal(taskWith({ filled: backlog + 1, hashed: 1, given: 1, done: 1 }).kind, "hash");
  assert.equal(taskWith({ filled: 7, hashed: 7, given: 1, done: 1 }).kind, "none");
});

test("bytes whose digest nobody needs aren't hashed", () => {
  assert.equal(taskWith({ filled: backlog + 1, unhashed: 1 }).kind, "none");
  assert.equal(taskWith({ filled: backlog + 1, unhashed: 1, given: 1 }).kind, "job");
});

test("positions and jobs count on when they are over 32 bits", () => {
  const task = taskWith({ filled: -(2 ** 31) + 10, hashed: 2 ** 31 - 10 });
  assert.deepEqual(task, { kind: "hash", length: 20 });
  assert.equal(taskWith({ given: -(2 ** 31), done: 2 ** 31 - 1 }).kind, "job");
});
