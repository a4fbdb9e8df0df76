import assert from "node:assert/strict";
import { test } from "node:test";
import { describeExit } from "../../src/host/child.ts";
import { withoutTraces, withShortTraces } from "../../src/host/go-crash.ts";
import { limitIn } from "../../src/host/process-limits.ts";

test("a child of which nothing is known is told without a code", () => {
  assert.equal(describeExit({}), "can't be started");
  assert.match(
    describeExit({ code: "EAGAIN" }),
    /^can't be started \(EAGAIN\): this step has as many processes/,
  );
});

test("a limit is found at the end of an output of any length", () => {
  for (const piece of ["\n", "fork ", "fatal error: ", "\t"]) {
    const output = piece.repeat(2e6 / piece.length);
    assert.equal(limitIn(output), undefined);
    assert.match(limitIn(`${output}\nfatal error: runtime: out of memory`) ?? "", /no memory/);
  }
});

test("a crash of Go's runtime is looked for in time that grows with the output alone", () => {
  for (const piece of ["panic: x\n", "panic: x\n\n", "\n", "\n\ngoroutine ", "\n\nruntime stack:\n", "("]) {
    const output = piece.repeat(2e6 / piece.length);
    assert.equal(withoutTraces(output), output);
    assert.equal(withShortTraces(output), output);
  }
});
