import assert from "node:assert/strict";
import { test } from "node:test";
import { formatBytes, formatSetting } from "../../src/host/format.ts";

test("sizes are written in powers of 1000, and those of params as their author may write them too", () => {
  for (const [bytes, written] of [
    [0, "0 B"],
    [1023, "1.0 kB"],
    [20_971_520, "21.0 MB"],
    [999_500, "1.0 MB"],
  ] as const)
    assert.equal(formatBytes(bytes), written);
  for (const [bytes, written] of [
    [0, "0 B"],
    [1000, "1.0 kB"],
    [512_000, "500k (512 kB)"],
    [20 * 1024 ** 2, "20m (21.0 MB)"],
    [2 * 1024 ** 3, "2g (2.1 GB)"],
    [2e9, "2.0 GB"],
    [40_000_000, "40.0 MB"],
  ] as const)
    assert.equal(formatSetting(bytes), written);
});
