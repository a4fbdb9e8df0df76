import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { getFields } from "../../src/request/get-params.ts";
import { putParams } from "../../src/request/put-params.ts";
import { readPut } from "../../src/request/read-parts.ts";
import { fieldsBelow, secret, secretFields } from "../../src/request/schema-parts.ts";
import { sourceFields } from "../../src/request/source.ts";

const put = Object.fromEntries(Object.entries(putParams).map(([name, { schema }]) => [name, schema]));
const schemas = {
  source: z.strictObject(sourceFields),
  put: z.strictObject(put),
  get: z.strictObject(getFields),
};

/** Every field whose value no message shows. */
const marked = {
  source: [
    ["username", "password", "ca_certs", "docker_config"],
    ["username", "password", "ca_certs", "client_cert", "client_key", "mirrors"].map(
      (name) => `registries.*.${name}`,
    ),
    ["registry_mirrors", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"],
    ["aws_role_arn", "aws_role_arns", "aws_account_id"],
    ["buildkit", "nodes.*"].flatMap((daemon) =>
      ["address", "tls.ca", "tls.cert", "tls.key"].map((name) => `${daemon}.${name}`),
    ),
    ["buildkit_config"],
    ["cache", "cache.*"].flatMap((cache) =>
      [
        ["ref", "endpoint_url", "access_key_id", "secret_access_key", "session_token", "account_url"],
        ["tenant_id", "client_id", "client_secret", "url", "token"],
      ]
        .flat()
        .map((name) => `${cache}.${name}`),
    ),
    ["tracing.endpoint", "tracing.headers", "tracing.ca_certs"],
  ].flat(),
  put: [
    ["context", "dockerfile_inline", "build_args", "labels", "image_args", "contexts", "secrets", "ssh"],
    ["registry_mirrors", "buildkit_extra_config", "annotations", "options"],
  ].flat(),
  get: [],
};

/** Every field that takes any text, and whose value messages show. */
const shown = {
  source: [
    ["repository", "directory", "variant", "aws_region", "buildkit.tls.server_name"],
    ["nodes.*.tls.server_name", "nodes.*.platforms.*"],
    ["cache", "cache.*"].flatMap((cache) =>
      [
        ["compression-level", "force-compression", "mounts.limit", "bucket", "region", "name", "prefix"],
        ["manifests_prefix", "blobs_prefix", "use_path_style", "upload_parallelism", "touch_refresh"],
        ["account_name", "container", "scope", "timeout", "version", "directory"],
      ]
        .flat()
        .map((name) => `${cache}.${name}`),
    ),
    ["tracing.protocol"],
  ].flat(),
  put: [
    ["dockerfile", "build_args_file", "labels_file", "target", "target_file", "additional_targets.*"],
    ["additional_targets.*.tags.*", "platforms.*", "add_hosts.*", "add_hosts.*.*", "no_cache.*", "shm_size"],
    ["ulimits.*", "sbom.generator", "source_policy", "source_policy.rules.*.selector.identifier"],
    ["key", "value"].map((name) => `source_policy.rules.*.selector.constraints.*.${name}`),
    ["source_policy.rules.*.updates.identifier", "source_policy.rules.*.updates.attrs.*", "tags.*"],
    ["tags_file", "tags_file.*.file", "tags_file.*.prefix", "tag_prefix", "version", "version_file"],
    ["also.*", "variant"],
  ].flat(),
  get: ["platform"],
};

test("of each field that takes text it is known whether messages may show it", () => {
  for (const [part, schema] of Object.entries(schemas) as [keyof typeof schemas, z.ZodType][]) {
    const secrets = secretFields(schema);
    assert.deepEqual(secrets, marked[part], part);
    const texts = [...fieldsBelow(schema)]
      .filter(({ forms }) => forms.some((form) => form instanceof z.ZodString))
      .map(({ path }) => path.join("."))
      .filter((path) => !secrets.some((other) => path === other || path.startsWith(`${other}.`)));
    assert.deepEqual([...new Set(texts)], shown[part], part);
  }
});

test("a field that is called like a secret is marked as one, but for the key of a source policy's constraint", () => {
  const suspicious = /pass|secret|token|(^|[._])key|cert|header|credential|login/i;
  for (const texts of Object.values(shown))
    assert.deepEqual(
      texts.filter((path) => suspicious.test(path)),
      texts.filter((path) => path === "source_policy.rules.*.selector.constraints.*.key"),
    );
});

test("a mark holds for every form of a field, and for copies of its schema", () => {
  const field = secret(z.string()).min(1).optional().describe("A password.");
  const schema = z.strictObject({
    a: z.union([z.literal(true), z.array(z.strictObject({ b: field }))]),
    c: z.string(),
  });
  assert.deepEqual(secretFields(schema), ["a.*.b"]);
  assert.deepEqual(secretFields(z.strictObject({ plain: z.string().min(1) })), []);
});

function answer(source: object): string {
  try {
    readPut({ source: { repository: "registry.example/a", ...source }, params: {} });
    return "";
  } catch (thrown) {
    return String(thrown);
  }
}

test("a text in the place of a map with secrets is not shown, as it may be that map in another form or a secret", () => {
  const given = {
    tracing: '{"headers":{"authorization":"Bearer canary"}}',
    cache: "{type: s3, secret_access_key: canary}",
    registries: "a.example: {password: canary}",
    nodes: '[{"tls":{"key":"canary"}}]',
    buildkit: "tls: {key: canary}",
  };
  for (const [name, text] of Object.entries(given)) {
    const said = answer({ [name]: text });
    assert.match(said, new RegExp(`source\\.${name}: .*found a string`));
    assert.doesNotMatch(said, /canary/);
  }
  const host = answer({ registries: { "a.example": "canary" } });
  assert.match(host, /source\.registries\.a\.example: expected a map, found a string/);
  assert.match(answer({ cache: "true" }), /source\.cache: expected true, .*, found "true"/);
  assert.match(answer({ buildkit: "tcp://a.example:1" }), /expected a map, found "tcp:\/\/a\.example:1"/);
});
