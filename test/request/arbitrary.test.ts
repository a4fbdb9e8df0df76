import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { UserError } from "../../src/host/errors.ts";
import { readCheckRequest } from "../../src/request/check-request.ts";
import { readInRequest } from "../../src/request/in-request.ts";
import { readOutRequest } from "../../src/request/out-request.ts";
import { putParams } from "../../src/request/put-params.ts";
import { sourceFields } from "../../src/request/source.ts";

const upper = Object.values(putParams).flatMap((row) =>
  row.upper.map((form) => (form.kind === "whole" ? form.name : `${form.prefix}x`)),
);
const names = [...Object.keys(putParams), ...Object.keys(sourceFields), ...upper, "__proto__", "constructor"];
const name = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...names) },
  { weight: 1, arbitrary: fc.string() },
);
const canary = "s3cr3t-canary";
const value = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom<unknown>("app", "linux/amd64", true, 1, [], {}, null, ["a"], { a: "b" }),
  },
  { weight: 1, arbitrary: fc.jsonValue() },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(canary, [canary], { a: canary }, { a: { text: [canary] } }),
  },
);
const fields = fc.array(fc.tuple(name, value), { maxLength: 4 }).map((entries) => {
  const text = entries.map(([key, given]) => `${JSON.stringify(key)}:${JSON.stringify(given)}`);
  return `{${text.join(",")}}`;
});
const source = fc.oneof(
  { weight: 2, arbitrary: fc.constant('{"directory":"/builds"}') },
  { weight: 1, arbitrary: fields },
);

test("any request is either read, or refused in words that show no value", () => {
  const readers = [readOutRequest, readInRequest, readCheckRequest];
  fc.assert(
    fc.property(source, fields, fc.constantFrom(...readers), (given, params, read) => {
      const version = { digest: `sha256:${"a".repeat(64)}` };
      const rest = read === readCheckRequest ? "" : `,"params":${params}`;
      const withVersion = read === readOutRequest ? "" : `,"version":${JSON.stringify(version)}`;
      try {
        read(`{"source":${given}${rest}${withVersion}}`);
      } catch (thrown) {
        assert.ok(thrown instanceof UserError, String(thrown instanceof Error ? thrown.stack : thrown));
        assert.ok(!thrown.message.includes(canary), thrown.message);
      }
    }),
    { numRuns: 10_000 },
  );
});

test("any text on stdin is read or refused", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        readOutRequest(text);
      } catch (thrown) {
        assert.ok(thrown instanceof UserError, String(thrown));
      }
    }),
    { numRuns: 2000 },
  );
});
