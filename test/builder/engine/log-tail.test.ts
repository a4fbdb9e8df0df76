import assert from "node:assert/strict";
import { test } from "node:test";
import { LogTail } from "../../../src/builder/engine/log-tail.ts";

test("a character that is cut between two pieces of a daemon's log is shown whole", () => {
  const text = 'level=error msg="größer als 5 €"\n';
  const bytes = Buffer.from(text);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const log = new LogTail(1000);
    log.write(bytes.subarray(0, cut));
    log.write(bytes.subarray(cut));
    assert.equal(log.tail(1), `  ${text.trim()}`);
  }
});
