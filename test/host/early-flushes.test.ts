import assert from "node:assert/strict";
import type { FileHandle } from "node:fs/promises";
import { test } from "node:test";
import { EarlyFlushes } from "../../src/host/atomic-write.ts";

test("files are flushed one after the other, also after one that could not be", async () => {
  const flushes = new EarlyFlushes();
  let running = 0;
  let most = 0;
  const file = (isBroken: boolean) => {
    const datasync = async () => {
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running--;
      if (isBroken) throw new Error("EIO");
    };
    return { datasync } as FileHandle;
  };
  const outcomes = await Promise.allSettled(
    [false, true, false, false].map((isBroken) => flushes.flush(file(isBroken))),
  );
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled", "fulfilled"],
  );
  assert.equal(most, 1);
});
