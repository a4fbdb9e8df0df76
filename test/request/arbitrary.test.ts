import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parse as parseYaml } from "yaml";
import * as z from "zod";
import { UserError } from "../../src/host/errors.ts";
import { readCheckRequest } from "../../src/request/check-request.ts";
import { readInRequest } from "../../src/request/in-request.ts";
import { readOutRequest } from "../../src/request/out-request.ts";
import { putParams, taskForms } from "../../src/request/put-params.ts";
import { readSource } from "../../src/request/read-parts.ts";
import { secretFields } from "../../src/request/schema-parts.ts";
import { sourceFields } from "../../src/request/source.ts";
import { readTask } from "../../src/request/task-params.ts";
import { assertPlanned } from "../support/runs/pure-plan.ts";

function upperNames(param: string): string[] {
  return (taskForms[param] ?? []).map((form) => (form.kind === "whole" ? form.name : `${form.prefix}x`));
}
const upper = Object.keys(putParams).flatMap(upperNames);
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
);
/** Names whose values, and whatever is in them, are never shown, because they may be secrets. */
const secretive = new Set([
  ...secretFields(z.strictObject(sourceFields)).filter((path) => !path.includes(".")),
  ...secretFields(
    z.strictObject(Object.fromEntries(Object.entries(putParams).map(([each, { schema }]) => [each, schema]))),
  ).flatMap((path) => [path, ...upperNames(path)]),
]);
const secretValue = fc.constantFrom<unknown>(canary, [canary], { a: canary }, { a: { text: [canary] } });
const field = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(name, value) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom(...names.filter((each) => secretive.has(each))), secretValue),
  },
);
const fields = fc.array(field, { maxLength: 4 }).map((entries) => {
  const text = entries.map(([key, given]) => `${JSON.stringify(key)}:${JSON.stringify(given)}`);
  return `{${text.join(",")}}`;
});

/** Text that would be something else, were it not quoted where it goes. */
const hostile = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...'--output=type=local,dest=/x|-x|a,b="c"|a=b|"|"]\n[worker.oci]\nbinary="/x|a\nb|,|$A'.split("|"),
      ..."| |a b|\0|a,id=b|../x|https://a.example/b.git|push=true|é\u{1f600}".split("|"),
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
);
/** Mostly what is taken, so that a request with many fields is often planned. */
const often = <T>(good: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 30, arbitrary: good }, { weight: 1, arbitrary: hostile });
const word = often(fc.constantFrom("a", "app", "one.two", "NAME", "x_1"));
const anyText = fc.oneof(word, hostile);
const map = (values: fc.Arbitrary<unknown>, keys: fc.Arbitrary<string> = word) =>
  fc.dictionary(keys, values, { maxKeys: 3 });
const secret = fc.constantFrom(canary, `${canary}\n`, `-----BEGIN PRIVATE KEY-----${canary}`);
const url = fc.constantFrom(
  "app",
  `https://me:${canary}@git.example/a.git#main`,
  "docker-image://a.example/b:1",
);

/** A few of the fields: of many, some one is refused. */
function someOf<T extends object>(all: fc.Arbitrary<T>): fc.Arbitrary<Partial<T>> {
  return all.chain((given) =>
    fc
      .subarray(Object.keys(given), { maxLength: 4 })
      .map(
        (kept) =>
          Object.fromEntries(Object.entries(given).filter(([key]) => kept.includes(key))) as Partial<T>,
      ),
  );
}

const params = someOf(
  fc.record({
    context: often(fc.constantFrom("app", "a=b,c", `https://me:${canary}@git.example/a.git`)),
    dockerfile: anyText,
    build_args: map(anyText),
    labels: map(anyText, anyText),
    annotations: map(anyText, often(fc.constantFrom("a", "index:b", "manifest[linux/arm64]:c"))),
    target: anyText,
    additional_targets: fc.array(word, { maxLength: 2 }),
    contexts: map(often(url)),
    image_args: map(anyText),
    secrets: map(fc.record({ text: secret })),
    ssh: map(fc.record({ key: secret })),
    add_hosts: map(often(fc.constantFrom<unknown>("10.0.0.1", ["::1", "::2"]))),
    ulimits: map(often(fc.constantFrom<unknown>("1", 2, "3:4")), fc.constantFrom("nofile", "core")),
    options: map(anyText, often(fc.constantFrom("hostname", "memory", "platform", "label:a", "context"))),
    source_policy: fc.constantFrom<unknown>("app/policy", `{${canary}`, { rules: [] }, '{"rules":[]}', {
      rules: [{ selector: { identifier: "*" } }],
    }),
    no_cache: fc.oneof(fc.boolean(), fc.array(word, { maxLength: 2 })),
    sbom: fc.oneof(fc.boolean(), fc.record({ generator: word })),
    allow: fc.subarray(["network.host", "security.insecure"]),
    registry_mirrors: fc.array(often(fc.constantFrom("mirror.example", "http://b:5000/x")), { maxLength: 2 }),
    buildkit_extra_config: fc.constantFrom("debug = true", '[registry."x"]\nhttp = true', "a ="),
    provenance: fc.constantFrom<unknown>(true, "max"),
    platforms: fc.array(often(fc.constantFrom("linux/amd64", "linux/arm/v7")), { maxLength: 2 }),
  }),
);
const cacheLocation = fc.oneof(
  fc.record({ type: fc.constant("local"), directory: anyText.map((text) => `/${text}`) }),
  fc.record({ ref: often(fc.constant("a.example/b:c")), compression: fc.constantFrom("gzip", "zstd") }),
  fc.record({
    type: fc.constant("s3"),
    bucket: anyText,
    region: anyText,
    prefix: anyText,
    access_key_id: secret,
    secret_access_key: secret,
  }),
  fc.record({
    type: fc.constant("gha"),
    url: fc.constant("https://a.example/"),
    token: secret,
    scope: anyText,
  }),
);
const login = { username: fc.constant("user"), password: secret };
const source = someOf(
  fc.record({
    cache: cacheLocation,
    registries: map(fc.record({ ...login, mirrors: fc.array(word, { maxLength: 2 }) })),
    registry_mirrors: fc.array(often(fc.constant("mirror.example")), { maxLength: 2 }),
    docker_config: fc.record({ auths: map(fc.record({ identitytoken: secret })) }),
    ca_certs: secret,
    buildkit_config: fc.constantFrom("[worker.oci]\nmax-parallelism = 2", "="),
  }),
).map((given) => ({ directory: "/builds", ...given }));
const structured = fc
  .record({ source, params })
  .map((request) => ({ source: JSON.stringify(request.source), params: JSON.stringify(request.params) }));
const loose = fc.record({
  source: fc.oneof(
    { weight: 2, arbitrary: fc.constant('{"directory":"/builds"}') },
    { weight: 1, arbitrary: fields },
  ),
  params: fields,
});

/** Whether something ends; if it is refused, then in words for the pipeline's author that show no secret. */
function ends(what: () => void): boolean {
  try {
    what();
    return true;
  } catch (thrown) {
    assert.ok(thrown instanceof UserError, String(thrown instanceof Error ? thrown.stack : thrown));
    assert.ok(!thrown.message.includes(canary), thrown.message);
    return false;
  }
}

test("any request is either refused in words that show no value, or planned as what it says and no more", () => {
  const readers = [readInRequest, readCheckRequest];
  let planned = 0;
  fc.assert(
    fc.property(fc.oneof(structured, structured, loose), fc.constantFrom(...readers), (given, read) => {
      const version = JSON.stringify({ digest: `sha256:${"a".repeat(64)}` });
      const rest = read === readCheckRequest ? "" : `,"params":${given.params}`;
      ends(() => read(`{"source":${given.source}${rest},"version":${version}}`));
      ends(() => {
        const request = readOutRequest(`{"source":${given.source},"params":${given.params}}`);
        assertPlanned(request);
        planned++;
      });
    }),
    { numRuns: 10_000 },
  );
  assert.ok(planned > 3000, `only ${planned} were planned`);
});

test("no secret of a request is in an argument, or in the daemon's configuration", () => {
  fc.assert(
    fc.property(structured, (given) => {
      ends(() => {
        const { args, toml } = assertPlanned(
          readOutRequest(`{"source":${given.source},"params":${given.params}}`),
        );
        for (const text of [...args, toml]) assert.ok(!text.includes(canary), text);
      });
    }),
    { numRuns: 5000 },
  );
});

test("any environment of a task is refused in such words, or planned as what it says", () => {
  // Which no environment can hold.
  const withoutNul = anyText.map((text) => text.replaceAll("\0", ""));
  const nothing = readSource({ directory: "/builds" });
  const variables = fc.oneof(
    fc.constantFrom(...upper),
    fc
      .tuple(fc.constantFrom("BUILD_ARG_", "LABEL_", "IMAGE_ARG_", "BUILDKIT_SECRETTEXT_"), word)
      .map((parts) => parts.join("").replaceAll("\0", "")),
  );
  let planned = 0;
  fc.assert(
    fc.property(fc.dictionary(variables, withoutNul, { maxKeys: 5 }), (env) => {
      ends(() => {
        assertPlanned({
          source: nothing,
          params: readTask({ CONTEXT: "app", ...env }, { parseYaml, ofParams: [], ofHosts: [], ofTask: [] })
            .params,
        });
        planned++;
      });
    }),
    { numRuns: 5000 },
  );
  assert.ok(planned > 500, `only ${planned} were planned`);
});

test("any text on stdin is read or refused", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      ends(() => readOutRequest(text));
    }),
    { numRuns: 2000 },
  );
});
