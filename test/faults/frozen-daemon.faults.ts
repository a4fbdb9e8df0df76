import assert from "node:assert/strict";
import { test } from "node:test";
import { gone, killProcesses, newMark } from "../support/runs/processes.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly } from "../support/runs/resource.ts";

// In a file of its own, because it waits for two minutes, and files are run at the same time.
test("a daemon that freezes in the middle is given up, with that", async () => {
  await using site = await makeSite("RUN echo running; busybox sleep 600\n");
  const mark = newMark();
  const put = await site.startPut({}, {}, { env: { [mark]: "1" } });
  await put.wrote(/\] running/);
  await killProcesses(mark, /^buildkitd\0/, "SIGSTOP");
  const run = await put.result;
  assertFailedCleanly(run, /buildkitd no longer answers; the end of its log:/);
  assert.ok(run.milliseconds < 150_000, `${run.milliseconds} ms`);
  await gone(mark);
});
