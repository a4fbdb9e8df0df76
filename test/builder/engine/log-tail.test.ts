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

test("of a daemon that Go's runtime ends, the reason is kept and not the traces", () => {
  const reason = [
    "runtime: failed to create new OS thread (have 6 already; errno=11)",
    "runtime: may need to increase max user processes (ulimit -u)",
    "fatal error: newosproc",
  ];
  const trace = "goroutine 7 [running]:\nmain.main()\n\t/src/main.go:7 +0x48 fp=0x1 sp=0x2 pc=0x3\n\n";
  const crash = `level=info msg=ready\n${reason.join("\n")}\n\nruntime stack:\nruntime.throw()\n\n${trace.repeat(2000)}`;
  for (const size of [37, 1000, crash.length]) {
    const log = new LogTail(1000);
    for (let at = 0; at < crash.length; at += size) log.write(Buffer.from(crash.slice(at, at + size)));
    assert.equal(log.tail(3), reason.map((line) => `  ${line}`).join("\n"));
  }
  const panic = new LogTail(1000);
  panic.write(Buffer.from(`panic: a [recovered]\n\tpanic: b\n\n${trace}`));
  assert.equal(panic.tail(20), "  panic: a [recovered]\n  \tpanic: b");
});

test("what is logged after the crash of a helper is kept, without the helper's traces", () => {
  const traces = [
    "goroutine 7 [running]:",
    "main.(*T).run(0xc0001, {0x1, 0x2})",
    "\t/src/main.go:7 +0x48",
    "created by main.main in goroutine 1",
    "\t/src/main.go:3 +0x10",
    "",
    "rax    0x0",
    "",
  ];
  const later = 'time="x" level=error msg="disk full (really)"\nbuildkitd: no space left on device\n';
  const text = `panic: helper\n\n${traces.join("\n")}${later}`;
  for (const size of [5, 41, text.length]) {
    const log = new LogTail(1000);
    for (let at = 0; at < text.length; at += size) log.write(Buffer.from(text.slice(at, at + size)));
    const shown = log
      .tail(20)
      .split("\n")
      .filter((line) => line.trim() !== "");
    assert.deepEqual(
      shown,
      ["panic: helper", ...later.trim().split("\n")].map((line) => `  ${line}`),
    );
  }
});
