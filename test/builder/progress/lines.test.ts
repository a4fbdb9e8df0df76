import assert from "node:assert/strict";
import { test } from "node:test";
import { LineSplitter, OutputLines } from "../../../src/builder/progress/lines.ts";

/** What a splitter makes of text that comes in pieces of so many bytes. */
function linesOf(splitter: LineSplitter | OutputLines, text: string | Buffer, size = 7): string[] {
  const bytes = Buffer.from(text);
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += size)
    lines.push(...splitter.write(bytes.subarray(at, at + size)));
  return [...lines, ...splitter.end()];
}

test("lines are whole however their bytes come, with characters of several bytes and without a last line end", () => {
  for (const size of [1, 2, 3, 7, 100]) {
    const text = "größer\n\n5 € und 😀\nend";
    assert.deepEqual(linesOf(new LineSplitter(), text, size), text.split("\n"));
    assert.deepEqual(linesOf(new OutputLines(), text, size), text.split("\n"));
  }
});

test("of a line that is overwritten, the last state is shown", () => {
  for (const size of [1, 3, 100]) {
    const text = "10 %\r50 %\r100 %\r\r\ndone\r\nlast\rstate";
    assert.deepEqual(linesOf(new OutputLines(), text, size), ["100 %", "done", "state"]);
  }
});

test("of a very long line, the beginning is shown, with its length", () => {
  const [line = "", next] = linesOf(new OutputLines(), `${"x".repeat(100_000)}\nnext\n`, 1000);
  assert.match(line, /^x{16384}… \(100000 characters\)$/);
  assert.equal(next, "next");
  const [exact] = linesOf(new OutputLines(), `${"x".repeat(16_384)}\n`, 1000);
  assert.equal(exact?.length, 16_384);
});

const long: Readonly<Record<string, Buffer>> = {
  "one line of 40 MB": Buffer.alloc(40e6, "a"),
  "a bar of 40 MB that is overwritten": Buffer.alloc(40e6, "12 %\r"),
};
for (const [what, bytes] of Object.entries(long)) {
  test(`${what} takes time that grows with its size alone, and little memory`, () => {
    const begun = performance.now();
    const lines = linesOf(new OutputLines(), bytes, 32 * 1024);
    assert.ok(performance.now() - begun < 10_000);
    assert.equal(lines.length, 1);
    assert.ok((lines[0]?.length ?? 0) < 20_000);
  });
}

test("a status of 40 MB takes time that grows with its size alone", () => {
  const begun = performance.now();
  const [line] = linesOf(new LineSplitter(), long["one line of 40 MB"] ?? "", 32 * 1024);
  assert.equal(line?.length, 40e6);
  assert.ok(performance.now() - begun < 10_000);
});
