import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { UserError } from "../../src/host/errors.ts";
import { getFields } from "../../src/request/get-params.ts";
import { readInRequest } from "../../src/request/in-request.ts";
import { readOutRequest } from "../../src/request/out-request.ts";
import { putParams } from "../../src/request/put-params.ts";
import { jsonSchemas } from "../../tools/params/schemas.ts";
import { withTables } from "../../tools/params/tables.ts";
import { type Part, pipelineFault, schemaFault } from "../support/runs/schemas.ts";
import { checkout } from "../support/runs/test-step.ts";

const schemas = jsonSchemas();

const store = { directory: "/builds" };
const version = { digest: `sha256:${"a".repeat(64)}` };

/** Whether the program takes a value; a refusal must be one for the pipeline's author. */
function isTaken(part: Part, value: unknown): boolean {
  const source = part === "source" ? value : store;
  const params = part === "source" ? {} : value;
  try {
    if (part === "get") readInRequest(JSON.stringify({ source, version, params }));
    else readOutRequest(JSON.stringify({ source, params: part === "source" ? { context: "app" } : params }));
    return true;
  } catch (thrown) {
    assert.ok(thrown instanceof UserError, String(thrown));
    return false;
  }
}

const corpus: readonly (readonly [Part, unknown, boolean])[] = [
  ["source", { directory: "/builds" }, true],
  ["source", { repository: "registry.example/app" }, true],
  ["source", { repository: "registry.example/app", username: "u", password: "p", insecure: true }, true],
  ["source", { repository: "a.example/b", registries: { "c.example": { mirrors: ["d.example/e"] } } }, true],
  ["source", { repository: "a.example/b", ca_certs: ["one", "two"] }, true],
  ["source", { repository: "a.example/b", docker_config: { auths: {} } }, true],
  ["source", { directory: "/b", buildkit: { address: "tcp://build.example:1234", tls: { ca: "x" } } }, true],
  ["source", { directory: "/b", tracing: { endpoint: "http://otel:4318", headers: { "x-a": "b" } } }, true],
  ["source", { directory: "/b", tracing: { endpoint: "http://otel:4318", headers: "a=b, c=d%20e" } }, true],
  ["source", { directory: "/b", tracing: { endpoint: "http://otel:4318", headers: "a: b" } }, false],
  ["source", { directory: "/b", tracing: { endpoint: "http://otel:4318", protocol: "grpc" } }, false],
  ["source", { directory: "/b", tracing: { endpoint: "http://user@otel:4318" } }, false],
  ["source", { directory: "/b", buildkit: { address: "tcp://[fd00::1]:1", resolve: true } }, true],
  ["source", { directory: "/b", buildkit: { address: "tcp://build.example", resolve: true } }, false],
  ["source", { directory: "/b", buildkit: { address: "unix:///run/buildkitd.sock", resolve: false } }, true],
  ["source", {}, false],
  ["source", { directory: "/builds", repository: "registry.example/app" }, false],
  ["source", { directory: "builds" }, false],
  ["source", { directory: "/builds", buildkit: { address: "build.example" } }, false],
  ["source", { directory: "/builds", insecure: "yes" }, false],
  ["source", { directory: "/builds", unknown: 1 }, false],
  ["source", [], false],
  ["put", { context: "app" }, true],
  ["put", { context: "app", build_args: { A: 1, B: true, C: "x" }, labels: { d: 1.5 } }, true],
  ["put", { context: "app", platforms: ["linux/amd64", "linux/arm/v7"] }, true],
  ["put", { context: "app", secrets: { a: { file: "f" }, b: { text: "t" }, c: { env: "E" } } }, true],
  ["put", { context: "app", no_cache: ["one"], shm_size: "64m", compression: "zstd" }, true],
  ["put", { context: "app", secrets: { ".npmrc": { text: "t" }, "a.example:1/b": { file: "f" } } }, true],
  ["put", { context: "app", options: { hostname: "a", memory: 67_108_864 } }, true],
  [
    "put",
    { CONTEXT: "app", BUILDKIT_OPTION_hostname: "a", BUILDKIT_OPTIONS: "memory=64m,memswap=128m" },
    true,
  ],
  ["put", { context: "app", source_policy: { rules: [{ selector: { identifier: "*" } }] } }, true],
  ["put", { context: "app", source_policy: "ci/policy.json" }, true],
  ["put", { context: "app", source_policy: { rules: [{ action: "DENY" }] } }, false],
  ["put", { context: "app", source_policy: { rules: [{ action: "DENY", selector: { id: "*" } }] } }, false],
  ["put", { context: "app", options: { target: "a" } }, false],
  ["put", { context: "app", options: { "build-arg:A": "a" } }, false],
  ["put", { CONTEXT: "app", "BUILDKIT_OPTION_label:a": "a" }, false],
  ["put", { CONTEXT: "app", "BUILDKIT_SECRET_.npmrc": "f", BUILDKIT_SSH: "a.example:1/b=c" }, true],
  ["put", { CONTEXT: "app", BUILD_ARG_A: 1, LABEL_b: true, UNPACK_ROOTFS: true }, true],
  ["put", { CONTEXT: "app", TARGET: null, DOCKERFILE: "", BUILD_ARG_A: "", UNPACK_ROOTFS: "" }, true],
  ["put", { CONTEXT: "app", UNPACK_ROOTFS: "True", OUTPUT_OCI: 0, IMAGE_PLATFORM: "linux/amd64, " }, true],
  ["put", { CONTEXT: "app", ADDITIONAL_TARGETS: " one,two_2, ,three.3" }, true],
  ["put", { CONTEXT: "app", BUILDKIT_SSH: "default=keys/a,keys/b, github=c" }, true],
  ["put", { CONTEXT: "app", BUILDKIT_ADD_HOSTS: "a=10.0.0.1, a=fd00::1" }, true],
  ["put", { context: "app", ssh: { a: ["one", { key: "two" }] }, add_hosts: { a: ["::1", "::2"] } }, true],
  ["put", { CONTEXT: "app", BUILD_ARGS: { A: 1, B: "x,y" }, LABELS: '{"a": "b"}', BUILD_ARG_C: "c" }, true],
  ["put", { CONTEXT: "app", IMAGE_PLATFORM: ["linux/amd64"], ADDITIONAL_TARGETS: '["one"]' }, true],
  ["put", { CONTEXT: "app", BUILDKIT_SSH: { default: "key" }, BUILDKIT_ADD_HOSTS: { a: ["::1"] } }, true],
  ["put", { CONTEXT: "app", IMAGE_ARGS: { base: "base" }, REGISTRY_MIRRORS: ["mirror.example"] }, true],
  ["put", { CONTEXT: "app", SOURCE_POLICY: { rules: [] }, BUILDKIT_OPTIONS: { hostname: "a" } }, true],
  ["put", { CONTEXT: "app", BUILD_ARGS: { A: [1] } }, false],
  ["put", { CONTEXT: "app", LABELS: ["a=b"] }, false],
  ["put", { CONTEXT: "app", IMAGE_PLATFORM: { linux: "amd64" } }, false],
  ["put", { CONTEXT: "app", IMAGE_PLATFORM: ["linux amd64"] }, false],
  ["put", { CONTEXT: "app", UNPACK_ROOTFS: "yes" }, false],
  ["put", { CONTEXT: "app", UNPACK_ROOTFS: 2 }, false],
  ["put", { CONTEXT: "app", IMAGE_PLATFORM: "linux/amd64;linux/arm64" }, false],
  ["put", { CONTEXT: "app", ADDITIONAL_TARGETS: "one,../two" }, false],
  ["put", { context: "app", additional_targets: ["../up"] }, false],
  ["put", { CONTEXT: "app", BUILDKIT_SSH: "default" }, false],
  ["put", { CONTEXT: "app", BUILDKIT_ADD_HOSTS: "10.0.0.1" }, false],
  ["put", { CONTEXT: "app", BUILDKIT_SECRET_x: "" }, false],
  ["put", { CONTEXT: "app", "BUILDKIT_SECRETTEXT_a/../b": "x" }, false],
  ["put", { CONTEXT: "app", "BUILDKIT_SECRET_..": "x" }, false],
  ["put", { CONTEXT: "app", BUILD_ARG_A: null, LABEL_b: null }, true],
  ["put", { CONTEXT: "app", BUILDKIT_SECRET_x: null }, false],
  ["put", { CONTEXT: "app", BUILD_ARG_A: [1] }, false],
  ["put", { context: "app", secrets: { "a/../b": { text: "x" } } }, false],
  ["put", { context: "app", secrets: { "a/..": { text: "x" } } }, false],
  ["put", { context: "app", ssh: { a: [] } }, false],
  ["put", { context: "app", build_args: { A: null } }, false],
  ["put", { context: "app", build_args: { A: [1] } }, false],
  ["put", { context: "app", secrets: { a: { path: "f" } } }, false],
  ["put", { context: "app", platforms: "linux/amd64" }, false],
  ["put", { context: "app", network: "bridge" }, false],
  ["put", { context: ["app"] }, false],
  ["put", { context: "app", unknown: 1 }, false],
  ["get", {}, true],
  ["get", { unpack_rootfs: true, output_oci: false, skip_download: true, image_tar: false }, true],
  ["get", { platform: "linux/arm64" }, true],
  ["get", { unpack_rootfs: "true" }, false],
  ["get", { tags: [] }, false],
];

test("program and JSON Schemas agree on what a pipeline may write", () => {
  for (const [part, value, good] of corpus) {
    const shown = `${part}: ${JSON.stringify(value)}`;
    assert.equal(isTaken(part, value), good, `program, ${shown}`);
    const fault = schemaFault(part, value);
    assert.equal(fault === undefined, good, `schema, ${shown}: ${fault}`);
    const inPipeline = pipelineFault(pipelineWith(part, value));
    assert.equal(inPipeline === undefined, good, `pipeline.json, ${shown}: ${inPipeline}`);
  }
});

/** A pipeline that says this. */
function pipelineWith(part: Part, value: unknown): unknown {
  const step = {
    put: "image",
    ...(part === "put" && { params: value }),
    ...(part === "get" && { get_params: value }),
  };
  const source = part === "source" ? value : store;
  return { resources: [{ name: "image", type: "oci-build", source }], jobs: [{ plan: [step] }] };
}

const upper = Object.values(putParams).flatMap((row) =>
  row.upper.map((form) => (form.kind === "whole" ? form.name : `${form.prefix}x`)),
);
const values = [
  ["app", "", "a b", "a,b", "a=b", "linux/amd64", "64m", "zstd", "min", "host", "plain", "true", "1.2.3"],
  [true, false, null, 0, 1, -1, 1.5, [], [""], [1], [null], ["a"], ["a", "a"], ["linux/arm64"], [["a"]]],
  [["network.host"], ["../a"], ["image"], {}, { a: "b" }, { a: 1 }, { a: null }, { a: ["b"] }, { a: {} }],
  [{ "": "b" }, { "a/b": "c" }, { "..": "c" }, { a: { file: "f" } }, { a: { text: 1 } }, { a: { key: "k" } }],
  [{ a: [{ path: "p" }] }, { generator: "image" }, { generator: "" }, { type: "zstd", level: 3 }],
  [{ type: "zstd", level: 30 }, { type: "bzip2" }, { type: "gzip", force: true, other: 1 }],
].flat();

test("program and JSON Schemas agree on every param with values of every kind", () => {
  const names = { put: [...Object.keys(putParams), ...upper, "unknown"], get: Object.keys(getFields) };
  const differing: string[] = [];
  for (const [part, known] of Object.entries(names) as ["put" | "get", string[]][]) {
    for (const name of known) {
      for (const value of values) {
        const params = { [name]: value };
        const isGood = isTaken(part, params);
        const faults = [schemaFault(part, params), pipelineFault(pipelineWith(part, params))];
        if (faults.some((fault) => (fault === undefined) !== isGood)) differing.push(JSON.stringify(params));
      }
    }
  }
  assert.deepEqual(differing, []);
});

test("the published schemas are those of the program (npm run params)", async () => {
  for (const [name, schema] of Object.entries(schemas)) {
    const text = await readFile(join(checkout, "schemas", name), "utf8");
    assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(schema)), name);
  }
});

test("README's tables are those of the program (npm run params)", async () => {
  const text = await readFile(join(checkout, "README.md"), "utf8");
  assert.equal(unaligned(text), unaligned(withTables(text)));
});

/** Markdown without the blanks and dashes that only align a table's columns. */
function unaligned(tables: string): string {
  return tables.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---");
}
