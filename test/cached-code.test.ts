import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutCachedCode } from "../tools/cached-code.ts";

const number = (value: number, bytes: 4 | 8) => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUInt32LE(value);
  return buffer;
};
const part = (text: string) => [number(text.length, 8), Buffer.from(text)];

const snapshot = (flags: number, modules: Readonly<Record<string, string>>) =>
  Buffer.concat([
    Buffer.from("magic"),
    ...["24.21.0", "x64", "linux"].flatMap(part),
    number(flags, 4),
    number(4, 4),
    Buffer.from("heap"),
    Buffer.from("what else belongs to it"),
    number(Object.keys(modules).length, 8),
    ...Object.entries(modules).flat().flatMap(part),
  ]);

test("a snapshot without Node's cached code is as if it had been made so", () => {
  const whole = snapshot(0, { fs: "code of fs", "internal/util": "code" });
  assert.deepEqual(withoutCachedCode(whole), snapshot(1, {}));
});

test("a snapshot that has another form than is known is not changed", () => {
  const whole = snapshot(0, { fs: "code of fs", path: "code" });
  for (const other of [
    snapshot(1, { fs: "code" }),
    snapshot(0, {}),
    Buffer.alloc(0),
    Buffer.from("magic and nothing else that is known"),
    whole.subarray(0, -1),
    Buffer.concat([whole, Buffer.from("more")]),
  ]) {
    assert.equal(withoutCachedCode(other), undefined);
  }
});
