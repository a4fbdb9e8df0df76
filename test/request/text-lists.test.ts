import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { taskRules } from "../../src/commands/put-rules.ts";
import { UserError } from "../../src/host/errors.ts";
import { readOutRequest } from "../../src/request/out-request.ts";
import { readTask } from "../../src/request/task-params.ts";
import { schemaFault } from "../support/runs/schemas.ts";

const source = { repository: "registry.example/web" };
const put = (params: Readonly<Record<string, string>>) =>
  readOutRequest(JSON.stringify({ source, params: { CONTEXT: "app", ...params } })).params;
const task = (env: Readonly<Record<string, string>>) =>
  readTask(env, { ...taskRules, parseYaml: parse }).params;

/** A text of each variable that takes several values, and what it says. */
const taken: readonly (readonly [string, string, Readonly<Record<string, unknown>>])[] = [
  ["BUILD_ARGS", "A=1,B=x y", { buildArgs: { A: "1", B: "x y" } }],
  ["BUILD_ARGS", "A=1\nB=2\n", { buildArgs: { A: "1", B: "2" } }],
  ["BUILD_ARGS", "A=1\r\nB=2\r\n", { buildArgs: { A: "1", B: "2" } }],
  ["BUILD_ARGS", "A=1\n", { buildArgs: { A: "1" } }],
  ["BUILD_ARGS", "\n  A=x,y\n\n# a comment, b=3\n  B=\n", { buildArgs: { A: "x,y", B: "" } }],
  ["BUILD_ARGS", "A=1,\nB=2,C=3,\n D=4\n", { buildArgs: { A: "1", B: "2", C: "3", D: "4" } }],
  ["BUILD_ARGS", "FLAGS=-Da=b -Dc=d", { buildArgs: { FLAGS: "-Da=b -Dc=d" } }],
  ["BUILD_ARGS", "\n", { buildArgs: {} }],
  ["BUILD_ARGS", "# a comment, b=3\nA=1\n", { buildArgs: { A: "1" } }],
  ["BUILD_ARGS", "A=1,\n# a comment, b=3\nB=2,\n", { buildArgs: { A: "1", B: "2" } }],
  ["BUILD_ARGS", "A={x,y=1}\nB=2\n", { buildArgs: { A: "{x,y=1}", B: "2" } }],
  [
    "BUILD_ARGS",
    `COMMIT=${"0a1b".repeat(10)}\nVERSION=\nSUM=${"0a1b".repeat(16)}\nVersion=\n`,
    { buildArgs: { COMMIT: "0a1b".repeat(10), VERSION: "", SUM: "0a1b".repeat(16), Version: "" } },
  ],
  ["LABELS", "a=1\nb=a=b, c\n", { labels: { a: "1", b: "a=b, c" } }],
  [
    "IMAGE_ARGS",
    "base=base/image.tar\nother=other\n",
    { imageArgs: { base: "base/image.tar", other: "other" } },
  ],
  [
    "BUILDKIT_OPTIONS",
    "hostname=web\nmemory=64m\n",
    { frontendOptions: { hostname: "web", memory: "67108864" } },
  ],
  ["ADDITIONAL_TARGETS", "test\nlint\n", { additionalTargets: ["test", "lint"] }],
  ["ADDITIONAL_TARGETS", "test lint", { additionalTargets: ["test", "lint"] }],
  ["REGISTRY_MIRRORS", "a.example\r\nb.example/c\r\n", { registryMirrors: ["a.example", "b.example/c"] }],
  [
    "BUILDKIT_ADD_HOSTS",
    "db=10.0.0.1\ndb=fd00::1 web=10.0.0.2\n",
    { addHosts: { db: ["10.0.0.1", "fd00::1"], web: ["10.0.0.2"] } },
  ],
  [
    "BUILDKIT_SSH",
    "default=keys/a\nb=keys/b,keys/my c\n",
    { ssh: { default: [{ path: "keys/a" }], b: [{ path: "keys/b" }, { path: "keys/my c" }] } },
  ],
  ["UNPACK_ROOTFS", " true\n", { unpackRootfs: true }],
];

test("several values in one text are separated by commas, or stand one a line, in a task and in a put", () => {
  for (const [name, text, wanted] of taken) {
    for (const params of [task({ [name]: text }), put({ [name]: text })])
      assert.partialDeepStrictEqual(params, wanted, `${name}: ${JSON.stringify(text)}`);
    assert.equal(schemaFault("put", { CONTEXT: "app", [name]: text }), undefined, JSON.stringify(text));
  }
  const platforms = task({ IMAGE_PLATFORM: "linux/amd64\nlinux/arm64\n" }).platforms;
  assert.deepEqual(
    platforms.map(({ architecture }) => architecture),
    ["amd64", "arm64"],
  );
});

const base64 = "AbC0+/9z".repeat(8);
const pem = (body: string) => `-----BEGIN CERTIFICATE-----\n${base64}\n${body}\n-----END CERTIFICATE-----\n`;

/** Values that the oci-build task takes as they are. */
const kept: readonly string[] = [
  "one\ntwo\nthree\n",
  "one\ntwo\r\n\n",
  "one\n# two",
  "#!/bin/sh\n#only\n",
  "#!/bin/sh\nexport X=1\nY=2\necho $X\n",
  pem("Zm9vYg=="),
  pem("Zm9vYmE="),
  pem("Zm9vYmFy"),
  "AAAAAAA\nBB==",
  `${base64}\nZm9vYmE=\n`,
  `${base64}\n${base64}\nZm9vYg==\n`,
  '{\n"a":"b=c"\n}',
  '{\n"a": "b",\n"c": "d=e"\n}\n',
  "{ a=1,\nb=2 }",
  "{a\nb=2",
  "{{a,b}{c,d}",
  "a: 1\nb: c=d\n- e=f\n",
  "x\nhttp://h/?a=1",
  "x\nhttp://h/a=1",
  "x y ",
];

test("a value of several lines, or with commas in braces, is what the oci-build task takes it for", () => {
  for (const value of kept)
    for (const name of ["BUILD_ARGS", "LABELS"]) {
      const isOpen = value.lastIndexOf("{") > value.lastIndexOf("}");
      const texts = [
        [`A=${value}`, { A: value }],
        [`Z=1,A=${value}`, { Z: "1", A: value }],
        ...(isOpen ? [] : [[`A=${value},Z=1`, { A: value, Z: "1" }]]),
      ] as const;
      for (const [text, wanted] of texts) {
        const params = task({ [name]: text as string });
        assert.deepEqual(name === "LABELS" ? params.labels : params.buildArgs, wanted, JSON.stringify(text));
        assert.equal(schemaFault("put", { CONTEXT: "app", [name]: text }), undefined, JSON.stringify(text));
      }
    }
});

const refused: readonly (readonly [string, string, RegExp])[] = [
  [
    "BUILD_ARGS",
    "A=1,B=canary\nC=3\n",
    /^BUILD_ARGS: expected one pair .* found a comma before another name= in line 1: write one pair a line, .*or a map/,
  ],
  ["LABELS", "B=1\nOPTS=canary,b=c", /found a comma before another name= in line 2:/],
  ["BUILD_ARGS", "A=1\n\nB=canary,\nC=3\n", /found a comma at the end of line 3:/],
  [
    "LABELS",
    "a: canary\nb: 2\n",
    /^LABELS: expected name=value.*found name: value in a text, which is no map: write "="/,
  ],
  ["LABELS", "- a=canary\n- b=2\n", /^LABELS: expected name=value.*found a blank in a name/],
  ["LABELS", "a = canary", /^LABELS: expected name=value.*found a blank in a name, or before a "="/],
  ["LABELS", "a={{b,c},canary}", /found a part without a name or without "="$/],
  ["LABELS", "canary", /^LABELS: expected name=value.*found a part without a name or without "="$/],
  ["BUILDKIT_ADD_HOSTS", "db:10.0.0.1", /^BUILDKIT_ADD_HOSTS: expected name=value.*without "="$/],
];

test("a text that is not clearly one pair a line is refused by its line, and nothing of it is shown", () => {
  for (const [name, text, wanted] of refused)
    assert.throws(
      () => task({ [name]: text }),
      (thrown) => {
        assert.ok(thrown instanceof UserError, String(thrown));
        assert.match(thrown.message, wanted);
        assert.doesNotMatch(thrown.message, /canary/);
        return true;
      },
      JSON.stringify(text),
    );
});

const withoutRules = { ...taskRules, ofParams: [], parseYaml: parse };
const sshOf = (text: string) => readTask({ BUILDKIT_SSH: text }, withoutRules).params.ssh;

const key =
  "-----BEGIN OPENSSH PRIVATE KEY-----\nY2FuYXJ5Y2FuYXJ5,a\nY2FuYXJ5==\n-----END OPENSSH PRIVATE KEY-----\n";

test("a private key in BUILDKIT_SSH is one key with its lines, or refused without a word of it", () => {
  assert.deepEqual(sshOf(`default=${key}`), { default: [{ key }] });
  assert.equal(schemaFault("put", { CONTEXT: "app", BUILDKIT_SSH: `default=${key}` }), undefined);
  const rows: readonly (readonly [string, RegExp])[] = [
    [key, /^BUILDKIT_SSH: expected id=path.*found a private key without an id: write default= before it$/],
    [`a=${key}b=${key}`, /^BUILDKIT_SSH: expected id=path.*found more than one key: write a map/],
    [`a=${key},b=keys/b`, /^BUILDKIT_SSH: expected id=path.*found more than one key: write a map/],
    [`a=${key}keys/b`, /^BUILDKIT_SSH: expected id=path.*found more than one key: write a map/],
    [`b=keys/b,a=${key}`, /^BUILDKIT_SSH: expected id=path.*found more than one key: write a map/],
    [`b=keys/b\na=${key}`, /^BUILDKIT_SSH: expected id=path.*found more than one key: write a map/],
    ["Y2FuYXJ5==", /^BUILDKIT_SSH: expected id=path/],
    ["a b=Y2FuYXJ5", /^BUILDKIT_SSH: expected id=path/],
  ];
  for (const [text, wanted] of rows)
    assert.throws(
      () => sshOf(text),
      (thrown) => {
        assert.ok(thrown instanceof UserError, String(thrown));
        assert.match(thrown.message, wanted);
        assert.doesNotMatch(thrown.message, /Y2FuYXJ5/);
        return true;
      },
    );
});

test("a variable of its own wins over the list, whatever comes first, and two variables of one secret are refused", () => {
  const [list, own] = [{ BUILD_ARGS: "A=1,B=2" }, { BUILD_ARG_A: "3" }];
  for (const env of [
    { ...list, ...own },
    { ...own, ...list },
  ])
    assert.deepEqual(task(env).buildArgs, { A: "3", B: "2" });
  assert.throws(() => task({ BUILDKIT_SECRET_npm: "a/b", BUILDKIT_SECRETTEXT_npm: "c" }), {
    message: "BUILDKIT_SECRET_npm and BUILDKIT_SECRETTEXT_npm both give npm: remove one",
  });
});
