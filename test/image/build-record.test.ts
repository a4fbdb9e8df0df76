import assert from "node:assert/strict";
import { test } from "node:test";
import { type BuildRecord, encodeRecord, isRecord } from "../../src/image/build-record.ts";
import { digestOf } from "../../src/image/digest.ts";
import { assertRecord } from "../support/runs/schemas.ts";

const digest = digestOf(Buffer.from("x"));
const record: BuildRecord = {
  schema: 1,
  started: "2026-01-02T03:04:05.678Z",
  seconds: 1.5,
  concourse: { build_id: "4242" },
  params: { context: "app" },
  dockerfile: { name: "app/Dockerfile", text: "FROM scratch\n" },
  build_args: {},
  labels: {},
  base_images: [],
  targets: [],
  steps: [],
  warnings: [],
  tools: { buildkit: [{ where: "a BuildKit of its own" }] },
  left_out: [],
};
const step = (name: string, seconds: number) => ({ name, seconds, cached: false });

function encoded(given: Partial<BuildRecord>, secrets: readonly string[] = []): BuildRecord {
  const text = encodeRecord({ ...record, ...given }, secrets);
  assert.ok(text !== undefined && Buffer.byteLength(text) <= 128 * 1024);
  assert.ok(isRecord(text));
  const value: unknown = JSON.parse(text);
  assertRecord(value);
  return value;
}

test("a record is written as it is, and what isn't one is known", () => {
  assert.deepEqual(encoded({}), record);
  for (const text of ["", "null", "{}", "[", JSON.stringify({ ...record, schema: 2 })])
    assert.equal(isRecord(text), false, text);
});

test("fields of later releases don't keep a record from being delivered", () => {
  assert.ok(isRecord(JSON.stringify({ ...record, more: 1, tools: { ...record.tools, other: "2" } })));
});

test("secrets are masked in every text and every name, also where a long name is cut within one", () => {
  const secret = "correct horse battery staple";
  const masked = encoded(
    {
      params: { nested: [{ [secret]: `a ${secret} b` }] },
      steps: [step(`${"x".repeat(290)} ${secret}`, 1)],
    },
    [secret],
  );
  assert.deepEqual(masked.params, { nested: [{ "***": "a *** b" }] });
  assert.equal(masked.steps[0]?.name, `${"x".repeat(290)} ***`);
});

test("a record that is too large loses the shortest steps first, and says what it has lost", () => {
  const many = Array.from({ length: 2000 }, (_, index) =>
    step(`[${index}/2000] RUN ${"y".repeat(80)}`, index),
  );
  const { steps, left_out, dockerfile } = encoded({ steps: many });
  assert.deepEqual(left_out, ["steps"]);
  assert.deepEqual(steps, many.slice(-200));
  assert.deepEqual(dockerfile, record.dockerfile);
});

test("whatever is too large in it, a record keeps the rest", () => {
  const long = "z".repeat(300_000);
  const layer = { digest, diff_id: digest, size: 1, media_type: "layer" };
  const image = { platform: "linux/amd64", manifest_digest: digest, config_digest: digest };
  const rows: readonly (readonly [keyof BuildRecord, Partial<BuildRecord>])[] = [
    ["dockerfile", { dockerfile: { name: "Dockerfile", text: long } }],
    ["params", { params: { annotations: { a: long } } }],
    ["labels", { labels: { a: long } }],
    ["build_args", { build_args: { a: long } }],
    ["warnings", { warnings: Array.from({ length: 5000 }, () => "w".repeat(100)) }],
    [
      "targets",
      {
        targets: [
          { name: "", tags: [], images: [{ ...image, layers: Array.from({ length: 2000 }, () => layer) }] },
        ],
      },
    ],
  ];
  for (const [field, given] of rows) assert.equal(encoded(given).left_out.at(-1), field);
  assert.equal(encodeRecord({ ...record, concourse: { build_name: long } }, []), undefined);
});
