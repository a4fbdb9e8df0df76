import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type BuildRecord, isRecord } from "../../src/image/build-record.ts";
import { digestOf } from "../../src/image/digest.ts";
import { encodeRecord } from "../../src/image/encode-record.ts";
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

/** Bytes as JSON. */
const sizeOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

test("a long Dockerfile alone is cut to what there is room for, and nothing else is", () => {
  const text = `FROM scratch\n${'# "naïve" 🙂\n'.repeat(20_000)}`;
  const cut = encoded({ dockerfile: { name: "Dockerfile", text }, build_args: { A: "1" } });
  assert.deepEqual(cut.left_out, ["dockerfile"]);
  assert.deepEqual(cut.build_args, { A: "1" });
  assert.ok(text.startsWith(cut.dockerfile?.text ?? "-"));
  assert.ok(cut.dockerfile?.text.isWellFormed());
  assert.ok(sizeOf(cut) > 127 * 1024, `${sizeOf(cut)} bytes are kept`);
});

test("of too many steps the longest are kept, in their order, as many as there is room for", () => {
  const many = Array.from({ length: 2000 }, (_, index) =>
    step(`[${index}/2000] RUN ${"y".repeat(80)}`, index % 2 === 0 ? index : index / 1e6),
  );
  const cut = encoded({ steps: many });
  assert.deepEqual(cut.left_out, ["steps"]);
  const shortest = Math.min(...cut.steps.map(({ seconds }) => seconds));
  assert.deepEqual(
    cut.steps,
    many.filter(({ seconds }) => seconds >= shortest),
  );
  assert.ok(sizeOf(cut) > 127 * 1024, `${sizeOf(cut)} bytes are kept`);
});

test("if several fields are large, they are cut to one size, and left_out names no other", () => {
  const many = Array.from({ length: 2000 }, (_, index) => step("y".repeat(80), index));
  const dockerfile = { name: "Dockerfile", text: "z".repeat(380_000) };
  const labels = { a: "l".repeat(10_000) };
  const cut = encoded({ steps: many, dockerfile, labels });
  assert.deepEqual(cut.left_out.toSorted(), ["dockerfile", "steps"]);
  assert.deepEqual(cut.labels, labels);
  const [steps, text] = [sizeOf(cut.steps), sizeOf(cut.dockerfile)];
  assert.ok(Math.abs(steps - text) < 300, `steps have ${steps} bytes, the Dockerfile ${text}`);
  assert.ok(sizeOf(cut) > 127 * 1024, `${sizeOf(cut)} bytes are kept`);
});

test("whatever is too large in it, a record keeps the rest", () => {
  const long = "z".repeat(300_000);
  const layer = { digest, diff_id: digest, size: 1, media_type: "layer" };
  const image = { platform: "linux/amd64", manifest_digest: digest, config_digest: digest };
  const layers = (count: number) => Array.from({ length: count }, () => layer);
  const rows: readonly (readonly [keyof BuildRecord, Partial<BuildRecord>, Partial<BuildRecord>])[] = [
    ["params", { params: { annotations: { a: long }, target: "b" } }, { params: { target: "b" } }],
    ["labels", { labels: { a: long, b: "c" } }, { labels: { b: "c" } }],
    ["build_args", { build_args: { a: long, b: "c" } }, { build_args: { b: "c" } }],
    [
      "base_images",
      {
        base_images: [
          { name: "a", digest },
          { name: long, digest },
        ],
      },
      { base_images: [{ name: "a", digest }] },
    ],
    ["warnings", { warnings: ["first", long] }, { warnings: ["first"] }],
    [
      "targets",
      {
        targets: [
          {
            name: "",
            tags: [],
            images: [
              { ...image, layers: layers(3) },
              { ...image, layers: layers(2000) },
            ],
          },
        ],
      },
      {
        targets: [
          {
            name: "",
            tags: [],
            images: [
              { ...image, layers: layers(3) },
              { ...image, layers: [] },
            ],
          },
        ],
      },
    ],
  ];
  for (const [field, given, kept] of rows)
    assert.deepEqual(encoded(given), { ...record, ...kept, left_out: [field] }, field);
  assert.equal(encodeRecord({ ...record, concourse: { build_name: long } }, []), undefined);
});

test("the sample in docs/build-record.md is a record, with every field of its schema", async () => {
  const page = await readFile(join(import.meta.dirname, "../../docs/build-record.md"), "utf8");
  const [, sample = ""] = /```json\n([\s\S]*?)```/.exec(page) ?? [];
  const value: unknown = JSON.parse(
    sample.replaceAll("sha256:…", digest).replaceAll('"…"', JSON.stringify(record.started)),
  );
  assertRecord(value);
  assert.deepEqual(Object.keys(value).toSorted(), Object.keys(record).toSorted());
  assert.ok(isRecord(JSON.stringify(value)));
});
