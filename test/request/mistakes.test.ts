import assert from "node:assert/strict";
import { test } from "node:test";
import { putRules } from "../../src/commands/put-rules.ts";
import { UserError } from "../../src/host/errors.ts";
import { adviseOn } from "../../src/request/foreign-names.ts";
import { getFields } from "../../src/request/get-params.ts";
import { readInRequest } from "../../src/request/in-request.ts";
import { readOutRequest } from "../../src/request/out-request.ts";
import { putParams } from "../../src/request/put-params.ts";
import { sourceFields } from "../../src/request/source.ts";
import { putMistakes, type Rows } from "./put-mistakes.ts";

const repository = "registry.example/web";
const version = { digest: `sha256:${"a".repeat(64)}` };

const sources: Rows = [
  [{ repository: "https://registry.example/web" }, "source.repository: an image …"],
  [{ repository: "registry.example/Web" }, 'source.repository: "registry …'],
  [{ repository: "registry.example/web:1" }, 'source.repository: "registry …'],
  [
    { repository: "" },
    "source.repository: expected a string that is not empty, found an empty text (is a variable empty?)",
  ],
  [{ tag: "latest" }, 'source: there is no "tag"; tags belong in the put\'s params: tags: [latest]'],
  [{ directory: "/builds" }, "source: repository and directory …"],
  [{ usrname: "web" }, 'source: there is no "usrname"; did you mean "username"?'],
  [{ username: "web" }, "source: username is given without password …"],
  [
    { username: "", password: "x" },
    "source.username: expected a string that is not empty, found an empty text (is a variable empty?)",
  ],
  [{ insecure: "true" }, 'source.insecure: expected true or false, found "true"; remove the quotes'],
  [
    { insecure_registries: ["registry.example"] },
    'source: there is no "insecure_registries"; write insecure: true, or registries: {host: {insecure: true}} for other registries than the repository\'s',
  ],
  [
    { registry_mirror: "mirror.example" },
    'source: there is no "registry_mirror"; write registry_mirrors: [host]',
  ],
  [
    { registry_mirrors: "mirror.example" },
    "source.registry_mirrors: expected a list, found a string; a list is written in brackets: [one, two]",
  ],
  ...[
    "ftp://mirror.example",
    "//mirror.example",
    "/hub",
    "mirror.example:port",
    "u:canary@mirror.example",
  ].map((mirror): Rows[number] => [
    { registry_mirrors: ["HTTP://other.example:5000/hub", mirror] },
    "source.registry_mirrors.1: not a mirror; expected host[:port][/path] or a URL, http:// or https://, without a login: username and password are given for its host among the registries",
  ]),
  [
    { additional_private_registries: [] },
    'source: there is no "additional_private_registries"; write registries: {host: {username: …, password: …}}',
  ],
  [
    { client_certs: [] },
    'source: there is no "client_certs"; write registries: {host: {client_cert: …, client_key: …}}',
  ],
  [
    { ca_certs: [{ domain: "registry.example", cert: "x" }] },
    "source.ca_certs.0: expected a string, found a map; write the PEM text alone, or registries: {host: {ca_certs: …}} for one host",
  ],
  [
    { platform: { architecture: "arm64" } },
    'source: there is no "platform"; write platforms: [linux/arm64] in the put\'s params',
  ],
  [
    { server_args: "--debug" },
    'source: there is no "server_args"; write buildkit_config: BuildKit\'s own configuration',
  ],
  [
    { content_trust: {} },
    'source: there is no "content_trust"; remove it; sign the pushed image by its digest in a step after the put (docs/deploy-and-sign.md)',
  ],
  [
    { azure_acr: true },
    'source: there is no "azure_acr"; log in with the name and password of a token or a service principal: username and password',
  ],
  [
    { semver_constraint: "1.x" },
    'source: there is no "semver_constraint"; a check finds nothing in the registry, since versions come from puts; to follow tags use the registry-image resource',
  ],
  [{ context: "repo" }, 'source: there is no "context"; it belongs in the put\'s params'],
  [
    { buildkit: "tcp://buildkit.example:1234" },
    'source.buildkit: expected a map, found "tcp://buildkit.example:1234"; its fields are address, tls, resolve, max_builds',
  ],
  ...(
    [
      ["buildkit.example:1234", "expected a scheme before the host, as in tcp://host:1234"],
      ["tcp://buildkit.example", "expected a port after the host, as in tcp://host:1234"],
      ["tcp://[fd00::1]", "expected a port after the host, as in tcp://host:1234"],
      ["tcp://buildkit.example:70000", "expected a port from 1 to 65535, as in tcp://host:1234"],
      ["tcp://buildkit.example:1234/", "expected nothing after the port, as in tcp://host:1234"],
      ["https://buildkit.example:1234", "expected tcp://host:1234 (and tls, if …"],
      ["tcp://user:canary@buildkit.example:1234", "expected an address as buildctl takes it, such as …"],
      ["/run/buildkit/buildkitd.sock", "expected an address as buildctl takes it, such as …"],
    ] as const
  ).flatMap(([address, answer]): Rows => {
    const whole = answer.endsWith(" …") ? answer : `${answer}, found a string`;
    return [
      [{ buildkit: { address } }, `source.buildkit.address: ${whole}`],
      [{ nodes: [{ address, platforms: ["linux/arm64"] }] }, `source.nodes.0.address: ${whole}`],
    ];
  }),
  [
    { buildkit: { address: "tcp://buildkit.example:1234", resolve: "every" } },
    'source.buildkit.resolve: expected one or all, found "every"',
  ],
  [
    { nodes: [{ address: "tcp://a.example:1", resolve: "all", platforms: ["linux/arm64"] }] },
    'source.nodes.0: there is no "resolve"; only buildkit has it: buildkit: {address: …, resolve: all}',
  ],
  [
    { buildkit: { address: "tcp://buildkit.example:1234", tls: { insecure: true } } },
    'source.buildkit.tls: there is no "insecure"; remove it: certificates are always checked; …',
  ],
  [{ tracing: "https://otel.example:4318" }, "source.tracing: expected a map, found …"],
  [
    { tracing: { url: "https://otel.example:4318", token: "canary" } },
    [
      "source.tracing.endpoint: expected a string, but it is missing",
      'source.tracing: there is no "url"; write endpoint',
      'source.tracing: there is no "token"; write headers: {authorization: Bearer …}, or the header that the receiver wants',
    ].join("\n"),
  ],
  ...[["x-token=canary"], "x-token: canary", "", 5].map(
    (headers) =>
      [
        { tracing: { endpoint: "https://otel.example:4318", headers } },
        "source.tracing.headers: expected a map of headers, {x-token: …}, or a text as OTEL_EXPORTER_OTLP_HEADERS has it: x-token=…,x-team=web, found …",
      ] as const,
  ),
  [
    { tracing: { endpoint: "https://otel.example:4318", headers: "x-team=web,(=canary,x=%0Acanary,host=a" } },
    [
      "header 2 of the text: expected the name of an HTTP header before its =",
      "header 3 of the text: expected printable ASCII characters on one line after its =",
      "host can't be set, as it belongs to the request itself: remove it",
    ]
      .map((answer) => `source.tracing.headers: ${answer}, found a string`)
      .join("\n"),
  ],
  [
    { buildkit: { host: "tcp://buildkit.example:1234" } },
    'source.buildkit.address: expected a string, but it is missing\nsource.buildkit: there is no "host"; write address',
  ],
  [{ cache: "true" }, "source.cache: expected true …"],
  [{ cache: { repository: "registry.example/cache" } }, 'source.cache: there is no "repository"; write ref'],
  [{ cache: { type: "s3", bucket: "layers" } }, "source.cache.region: expected a string, but it is missing"],
  [
    { registries: { "base.example": { user: "x" } } },
    'source.registries.base.example: there is no "user"; write username',
  ],
  [
    { registries: { "base.example": { usrname: "x", password: "y" } } },
    'source.registries.base.example: there is no "usrname"; did you mean "username"?',
  ],
  [
    { registries: ["base.example"] },
    "source.registries: expected a map, found a list; a map is written {name: value}, or with one name: value a line",
  ],
  [{ timeouts: { stall: "30s" } }, 'source.timeouts.stall: expected a number, found "30s"'],
  [
    { ca_certs: "x" },
    "source.ca_certs: expected PEM certificates (-----BEGIN CERTIFICATE----- …), found none",
  ],
  [
    { registries: { "base.example": { ca_certs: ["x"] } } },
    "source.registries.base.example.ca_certs: expected PEM certificates …",
  ],
  [
    { registries: { "base.example": { client_key: "x" }, "b.example": { username: "x" } } },
    "source.registries.b.example: expected username and password together",
  ],
  [
    { buildkit: { address: "tcp://buildkit.example:1234", tls: { ca: "x" } } },
    "source.buildkit.tls.ca: expected PEM certificates …",
  ],
  [{ buildkit_config: "[worker" }, "buildkit_config is not TOML (line 1) …"],
  [
    { insecur: true, username: "web", buildkit: { address: "unix:///x" }, buildkit_config: "debug = true" },
    [
      'source: there is no "insecur"; did you mean "insecure"?',
      "source: buildkit_config configures the step's own buildkitd, but buildkit names another: remove one of the two",
    ].join("\n"),
  ],
  [{ buildkit: undefined, nodes: [] }, "source.nodes: expected at least one node, found an empty list"],
  ...[-1, 1e12, 1.5].map((account): Rows[number] => [
    { aws_region: "eu-west-1", aws_account_id: account },
    "source.aws_account_id: expected the twelve digits of an account, found a number",
  ]),
  [{ nodes: [{ address: "tcp://a.example:1", platforms: ["linux/amd46"] }] }, "source.nodes.0.platforms: …"],
  [{ aws_access_key_id: "x" }, "source: aws_access_key_id is given without aws_region …"],
];
const gets: Rows = [
  [{ save: true }, 'params: there is no "save"; remove it: image.tar is always delivered'],
  [
    { format: "oci" },
    'params: there is no "format"; for rootfs write unpack_rootfs: true, for oci-layout output_oci: true; for oci, an image.tar, remove it',
  ],
  [{ rootfs: true }, 'params: there is no "rootfs"; write unpack_rootfs: true'],
  [
    { unpack_rootfs: "true" },
    'params.unpack_rootfs: expected true or false, found "true"; remove the quotes',
  ],
  [
    { platforms: ["linux/arm64"] },
    'params: there is no "platforms"; a get delivers one of them: platform: linux/arm64',
  ],
  [
    { platform: { architecture: "arm64" } },
    "params.platform: expected a string, found a map; write it as one text: linux/arm64",
  ],
  [{ context: "repo" }, 'params: there is no "context"; it belongs in the put\'s params'],
  [
    { tag: "latest" },
    'params: there is no "tag"; a get delivers a version that a put gave: pin one with the step\'s version',
  ],
];

function answerTo(read: () => unknown): string {
  try {
    read();
  } catch (thrown) {
    assert.ok(thrown instanceof UserError, String(thrown));
    return thrown.message;
  }
  return "taken";
}

const answers = {
  source: (fields: unknown) =>
    answerTo(() =>
      readOutRequest(JSON.stringify({ source: { repository, ...(fields as object) }, params: {} }), putRules),
    ),
  put: (params: unknown) =>
    answerTo(() => readOutRequest(JSON.stringify({ source: { repository, cache: true }, params }), putRules)),
  get: (params: unknown) =>
    answerTo(() => readInRequest(JSON.stringify({ source: { repository }, version, params }))),
};

/** An answer that ends with an ellipsis is the beginning of what is found. */
function asFarAs(answer: string, found: string): string {
  const beginning = answer.endsWith(" …") ? answer.slice(0, -" …".length) : undefined;
  return beginning !== undefined && found.startsWith(beginning) ? answer : found;
}

const rows = { source: sources, put: putMistakes, get: gets };
for (const [part, mistakes] of Object.entries(rows) as [keyof typeof rows, Rows][]) {
  test(`mistakes in a ${part} are answered with what to write instead`, () => {
    const found = mistakes.map(([mistake, answer]) => [mistake, asFarAs(answer, answers[part](mistake))]);
    assert.deepEqual(found, mistakes);
  });
}

const together: readonly (readonly [source: object, params: object, answer: string])[] = [
  [
    { sandbox: "gvisor" },
    { network: "none" },
    'params.network: "none" isn\'t possible with "sandbox: gvisor" in the source, because a gVisor sandbox has no isolated networks: remove one of the two, or write "sandbox: auto" and run where BuildKit needs no sandbox (docs/without-privileges.md)',
  ],
  [{ sandbox: "gvisor" }, { network: "default" }, "taken"],
  [{ sandbox: "auto" }, { network: "none" }, "taken"],
];

test("params that don't go with the source are answered with what to change in either", () => {
  const found = together.map(([source, params]) =>
    answerTo(() => readOutRequest(JSON.stringify({ source: { repository, ...source }, params }), putRules)),
  );
  assert.deepEqual(
    found,
    together.map(([, , answer]) => answer),
  );
});

const odd = [
  ["", "x", "a b", "\u0000", true, null, -1, 1.5, 1e300, [], [""], [1], [null], {}, { x: 1 }, { "a b": "" }],
  [
    { type: "x" },
    { x: { x: 1 } },
    { type: "s3" },
    [{ type: "s3" }],
    { x: ["x"] },
    { x: null },
    [[]],
    { x: {} },
  ],
].flat();

test("no answer is in the words of the program's libraries", () => {
  const names = {
    source: Object.keys(sourceFields),
    put: Object.keys(putParams),
    get: Object.keys(getFields),
  };
  const found: string[] = [];
  let faults = 0;
  for (const [part, known] of Object.entries(names) as [keyof typeof names, string[]][]) {
    for (const name of known) {
      for (const value of odd) {
        const answer = answers[part]({ [name]: value });
        if (/Invalid|Too (small|big)|must match|undefined|NaN|\[object/.test(answer))
          found.push(`${name}: ${JSON.stringify(value)}: ${answer}`);
        faults += answer === "taken" ? 0 : 1;
      }
    }
  }
  assert.deepEqual(found, []);
  assert.ok(faults > 500, `only ${faults} faults`);
});

test("a name of another tool is none of ours", () => {
  for (const [part, known] of Object.entries({ source: sourceFields, put: putParams, get: getFields })) {
    const advise = adviseOn(part as keyof typeof answers);
    const both = Object.keys(known).filter((name) => advise([], name) !== undefined);
    assert.deepEqual(both, [], part);
  }
});
