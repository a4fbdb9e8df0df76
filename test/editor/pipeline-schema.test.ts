import assert from "node:assert/strict";
import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { startLanguageServer } from "../support/runs/language-server.ts";
import { pipelineFault } from "../support/runs/schemas.ts";
import { checkout } from "../support/runs/test-step.ts";

const modeline = "# yaml-language-server: $schema=../schemas/pipeline.json\n";

/** The numbers of the lines that say of themselves that they are wrong. */
function wrongLines(text: string): number[] {
  return text.split("\n").flatMap((line, index) => (line.endsWith("# wrong") ? [index + 1] : []));
}

test("an editor finds no fault in the examples and in our own pipeline, each of which names the schema", async () => {
  await using server = await startLanguageServer();
  let examples = 0;
  for await (const name of glob(["examples/*.yml", "ci/*.yml"], { cwd: checkout })) {
    const text = await readFile(join(checkout, name), "utf8");
    assert.ok(text.startsWith(modeline), `${name} has no modeline`);
    assert.deepEqual(await server.diagnose(name, text), [], name);
    examples++;
  }
  assert.ok(examples >= 4);
});

test("an editor shows every fault of a pipeline in what is ours, and none elsewhere", async () => {
  await using server = await startLanguageServer();
  const text = await readFile(join(import.meta.dirname, "faulty-pipeline.yml"), "utf8");
  const found = await server.diagnose("examples/faulty.yml", text);
  const lines = [...new Set(found.map(({ line }) => line))].toSorted((a, b) => a - b);
  assert.deepEqual(lines, wrongLines(text), JSON.stringify(found, undefined, 1));
  const shown = found.map(({ message }) => message).join("\n");
  assert.match(shown, /Property usrname is not allowed/);
  assert.match(shown, /Missing property "repository"/);
});

test("without a resource of ours a pipeline's puts are left alone, and a task with our image isn't", async () => {
  await using server = await startLanguageServer();
  const text = `${modeline}resources:
  - { name: web, type: image-builder, source: { repository: 1 } }
jobs:
  - name: build
    plan:
      - put: web
        params: { context: [repo], dockerfile_inline: 3 }
      - task: build
        config:
          image_resource:
            source: { repository: oci-build-resource }
          params: { UNPACK_ROOTFS: maybe } # wrong
`;
  const found = await server.diagnose("examples/foreign.yml", text);
  assert.deepEqual(
    found.map(({ line }) => line),
    wrongLines(text),
  );
});

test("what the defaults of the resource type may give is not missing in a source, and both are checked", async () => {
  await using server = await startLanguageServer();
  const text = `${modeline}resource_types:
  - name: oci-build
    type: registry-image
    source: {}
    defaults:
      repository: registry.example.com/web
      usrname: me # wrong
resources:
  - { name: one, type: oci-build }
  - { name: two, type: oci-build, source: { insecure: true } }
  - name: three
    type: oci-build
    source:
      insecur: true # wrong
`;
  const found = await server.diagnose("examples/defaults.yml", text);
  assert.deepEqual(
    found.map(({ line }) => line),
    wrongLines(text),
  );
});

const start = `${modeline}resource_types: [{ name: oci-build, type: registry-image, source: {} }]\n`;

test("an editor completes the names of fields and params, and values that are known", async () => {
  await using server = await startLanguageServer();
  const resource = `${start}resources:\n  - name: web\n    type: oci-build\n    source:\n      `;
  const put = `${start}jobs:\n  - name: build\n    plan:\n      - put: web-image\n        params:\n          `;
  const offered = async (text: string, ...expected: readonly string[]) => {
    const labels = await server.complete(`examples/complete-${crypto.randomUUID()}.yml`, text);
    for (const label of expected) assert.ok(labels.includes(label), `${label} in ${labels.join(" ")}`);
  };
  await offered(`${resource}repo|`, "repository", "registries", "buildkit");
  await offered(`${resource}cache:\n        |`, "type", "ref", "mode");
  await offered(`${put}|`, "context", "build_args", "CONTEXT");
  await offered(`${put}network: |`, "none", "host");
  await offered(`${put}pull: |`, "true", "false");
});

test("an editor shows what a param is", async () => {
  await using server = await startLanguageServer();
  const put = `${start}jobs:\n  - plan:\n      - put: web\n        params:\n          context: .\n          `;
  assert.match(await server.hover("examples/hover.yml", `${put}dockerf|ile: a`), /Path of the Dockerfile/);
});

/** The places in a value, the value itself among them. */
function* placesIn(value: unknown): Generator<readonly string[]> {
  yield [];
  if (typeof value !== "object" || value === null) return;
  for (const [name, part] of Object.entries(value)) {
    for (const place of placesIn(part)) yield [name, ...place];
  }
}

function withVariableAt(value: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined) return "((vault.what))";
  const parts = Object.entries(value as object).map(([key, part]) => [
    key,
    key === name ? withVariableAt(part, rest) : part,
  ]);
  return Array.isArray(value) ? parts.map(([, part]) => part) : Object.fromEntries(parts);
}

const source = {
  repository: "registry.example.com/web",
  username: "web",
  ca_certs: ["one"],
  registries: { "base.example.com": { insecure: true, mirrors: ["mirror.example.com"] } },
  timeouts: { stall: 3 },
  aws_role_arns: ["role"],
  buildkit: { address: "tcp://buildkit.example.com:1234", tls: { ca: "pem" } },
  cache: [{ type: "s3", bucket: "b", region: "r", mode: "min", export: false }],
};
const params = {
  context: "repo",
  build_args: { A: 1 },
  platforms: ["linux/amd64"],
  secrets: { token: { text: "x" } },
  ssh: { default: [{ key: "x" }] },
  add_hosts: { a: ["1.2.3.4"] },
  ulimits: { nofile: "1:2" },
  compression: { type: "zstd", level: 3 },
  source_date_epoch: 0,
  network: "host",
  no_cache: ["one"],
  ADDITIONAL_TARGETS: "a,b",
  LABEL_team: "shop",
};

test("a variable of Concourse's may stand for every value and every part of one", () => {
  const whole = {
    resources: [{ name: "image", type: "oci-build", source }],
    jobs: [
      { plan: [{ put: "image", params, get_params: { unpack_rootfs: true, platform: "linux/arm64" } }] },
    ],
  };
  assert.equal(pipelineFault(whole), undefined);
  let places = 0;
  for (const place of placesIn(whole)) {
    const changed = withVariableAt(whole, place);
    const isOurs = place[2] === "source" || /params/.test(place[4] ?? "");
    if (!isOurs) continue;
    assert.equal(pipelineFault(changed), undefined, place.join("."));
    places++;
  }
  assert.ok(places > 40, `${places} places`);
  const named = { ...params, labels: { "((label))": "x" }, "((param))": 1 };
  assert.equal(pipelineFault({ ...whole, jobs: [{ plan: [{ put: "image", params: named }] }] }), undefined);
});
