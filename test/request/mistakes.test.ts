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

const repository = "registry.example/web";
const version = { digest: `sha256:${"a".repeat(64)}` };

/** What each mistake is answered with. */
type Rows = readonly (readonly [mistake: unknown, answer: string])[];

const puts: Rows = [
  [{ contxt: "repo" }, 'params: there is no param "contxt"; did you mean "context"?'],
  [{ build: "repo" }, 'params: there is no param "build"; write context: the folder to build'],
  [
    { build: "repo", cache: true },
    'params: there is no param "build"; write context: the folder to build\nparams: there is no param "cache"; the layer cache belongs in the source: cache: true',
  ],
  [
    { cache_from: ["base"] },
    'params: there is no param "cache_from"; the layer cache belongs in the source: cache: true',
  ],
  [
    { "cache-to": "type=inline" },
    'params: there is no param "cache-to"; the layer cache belongs in the source: cache: true',
  ],
  [
    { load_bases: ["base"] },
    'params: there is no param "load_bases"; write image_args: {base: folder}, and FROM $base in the Dockerfile',
  ],
  [
    { image: "image/image.tar" },
    'params: there is no param "image"; remove it: this resource pushes what it builds; for an image that is built elsewhere use the registry-image resource',
  ],
  [
    { additional_tags: "repo/tags" },
    'params: there is no param "additional_tags"; write tags_file for a file with tags, or tags: [one, two] for the tags themselves',
  ],
  [{ tag: "latest" }, 'params: there is no param "tag"; tags is a list: write tags: [latest]'],
  [
    { tags: "latest" },
    'params.tags: expected a list, found "latest"; a list is written in brackets: [latest]',
  ],
  [{ tag_file: "repo/version" }, 'params: there is no param "tag_file"; write tags_file'],
  [{ tag_as_latest: true }, 'params: there is no param "tag_as_latest"; write tags: [latest]'],
  [{ target_name: "app" }, 'params: there is no param "target_name"; write target'],
  [{ push: true }, 'params: there is no param "push"; remove it: a put always pushes'],
  [
    { file: "repo/Dockerfile" },
    'params: there is no param "file"; write dockerfile: the path of the Dockerfile',
  ],
  [{ version: "version/number" }, "params.version: …"],
  [{ version: "" }, "params.version: …"],
  [
    { version: 1.1 },
    "params.version: expected a string; put a number with a point in quotes, because YAML reads 1.10 as 1.1, found 1.1",
  ],
  [{ bump_aliases: true }, "params.bump_aliases …"],
  [{ "build-args": { A: 1 } }, 'params: there is no param "build-args"; did you mean "build_args"?'],
  [{ args: { A: 1 } }, 'params: there is no param "args"; write build_args'],
  [{ build_args: ["A=1"] }, "params.build_args: expected a map, found a list"],
  [{ build_args: { A: null } }, "params.build_args.A: expected a string, found nothing (null)"],
  [{ build_args: { A: { b: 1 } } }, "params.build_args.A: expected a string, found a map"],
  [
    { options: { target: "app" } },
    "params.options.target: options can't set it; write target, or additional_targets",
  ],
  [{ options: { "label:team": "web" } }, "params.options.label:team: options can't set it; write labels"],
  [
    { options: { "a b": "c" } },
    'params.options.a b: expected the name of a frontend option, without "=" and blanks, as in hostname',
  ],
  [{ BUILDKIT_OPTIONS: "requestid=frontend.lint" }, "params.options.requestid: options can't set it; …"],
  [
    { call: "check" },
    'params: there is no param "call"; a put has to build, because Concourse wants a version from it; run the image as a task with CALL: check, outline or targets',
  ],
  [{ CALL: "outline" }, 'params: there is no param "CALL"; a put has to build …'],
  [{ memory: "1g" }, 'params: there is no param "memory"; write options: {memory: …'],
  [{ labels: { team: null } }, "params.labels.team: expected a string, found nothing (null)"],
  [
    { platform: "linux/arm64" },
    'params: there is no param "platform"; write platforms: [linux/amd64]; for the one that the get delivers, get_params: {platform: linux/amd64}',
  ],
  [
    { platforms: "linux/amd64" },
    'params.platforms: expected a list, found "linux/amd64"; a list is written in brackets: [linux/amd64]',
  ],
  [
    { platforms: "linux/amd64,linux/arm64" },
    'params.platforms: expected a list, found "linux/amd64,linux/arm64"; a list is written in brackets: [linux/amd64, linux/arm64]',
  ],
  [
    { platforms: ["linux/amd46", "linux/arm64", "linus/amd64", "linux/arm/v77"] },
    [
      'params.platforms: "linux/amd46": there is no architecture "amd46"; did you mean "amd64"?',
      'params.platforms: "linus/amd64": there is no operating system "linus"; did you mean "linux"?',
      'params.platforms: "linux/arm/v77": arm has no variant "v77"; expected one such as v6 or v7, or none',
    ].join("\n"),
  ],
  [
    { IMAGE_PLATFORM: "linux/amd64,linux/ard64" },
    'params.platforms: "linux/ard64": there is no architecture "ard64"; did you mean "amd64"?',
  ],
  [
    { unpack_rootfs: "true" },
    'params.unpack_rootfs: expected true or false, found "true"; remove the quotes',
  ],
  [{ unpack: true }, 'params: there is no param "unpack"; write unpack_rootfs: true'],
  [{ rootfs: true }, 'params: there is no param "rootfs"; write unpack_rootfs: true'],
  [{ skip_download: true }, 'params: there is no param "skip_download"; it belongs in the put\'s get_params'],
  [
    { format: "oci" },
    'params: there is no param "format"; it belongs in the put\'s get_params: output_oci: true or unpack_rootfs: true',
  ],
  [{ secrets: { token: "x" } }, "params.secrets.token: expected one of …"],
  [
    { secrets: { token: { path: "x" } } },
    'params.secrets.token: expected one of {file: path}, {text: the secret}, {env: NAME}, found a map; there is no "path", write file: the path',
  ],
  [
    { secrets: { token: { value: "" } } },
    'params.secrets.token: expected one of {file: path}, {text: the secret}, {env: NAME}, found a map; there is no "value", write text: the secret',
  ],
  [
    { ssh: { default: { file: "x" } } },
    'params.ssh.default: expected the path of a private key, the key itself, {path: …} or {key: …}, or a list of these, found a map; there is no "file", write path',
  ],
  [
    { compression: { type: "gz" } },
    'params.compression.type: expected one of gzip, zstd, estargz, uncompressed, found "gz"',
  ],
  [
    { compression: { level: "3" } },
    [
      "params.compression.type: expected one of gzip, zstd, estargz, uncompressed, but it is missing",
      'params.compression.level: expected a number, found "3"; remove the quotes',
    ].join("\n"),
  ],
  [{ compression: "gz" }, "params.compression: expected …"],
  [{ context: ["repo"] }, "params.context: expected a string, found a list"],
  [
    { context: "" },
    "params.context: expected a string that is not empty, found an empty text (is a variable empty?)",
  ],
  [{ CONTEXT: "repo", context: "repo" }, "params: CONTEXT and context are two forms of one param …"],
  [{ UNPACK_ROOTFS: "yes" }, "UNPACK_ROOTFS: expected true or false …"],
  [{ DOCKER_FILE: "x" }, 'params: there is no param "DOCKER_FILE"; did you mean "dockerfile"?'],
  [{ BUILDARG_A: "1" }, 'params: there is no param "BUILDARG_A"; did you mean "BUILD_ARG_*"?'],
  [{ tags: ["v1/2"] }, 'params.tags: " …'],
  [
    { repository: "registry.example/app" },
    'params: there is no param "repository"; it belongs in the resource\'s source',
  ],
  [{ network: "bridge" }, 'params.network: expected one of default, none, host, found "bridge"'],
  [
    { shm_size: "64 MiB" },
    'params.shm_size: expected a number of bytes, or a size such as 64m or 1g, found "64 MiB"',
  ],
  // What may be a secret is not shown.
  [
    { secrets: { token: "x" }, ssh: 3, build_args: "A=x", labels: "x" },
    [
      "params.build_args: expected a map, found a string",
      "params.labels: expected a map, found a string",
      "params.secrets.token: expected one of {file: path}, {text: the secret}, {env: NAME}, found a string",
      "params.ssh: expected a map, found a number",
    ].join("\n"),
  ],
  [
    { squash: true },
    'params: there is no param "squash"; remove it: BuildKit can\'t; copy the result into a last stage FROM scratch',
  ],
  [{ ulimits: { nofile: "1024-2048" } }, "params.ulimits.nofile: expected …"],
  [{ target: "a", target_file: "b" }, "target and target_file are both given: remove one"],
  [{ version: "1.0.0", version_file: "b" }, "version and version_file are both given: remove one"],
  [
    { dockerfile: "a", dockerfile_inline: "FROM scratch" },
    "dockerfile and dockerfile_inline are both given: remove one",
  ],
  [{ tags: [`build-${"a".repeat(64)}`] }, 'params.tags: "build-aaaa …'],
  [{ tags: ["buildcache"] }, 'params.tags: "buildcache" is a tag of the layer cache …'],
  [{ also: ["registry.example/web"] }, "params.also: registry.example/web is the source's own repository …"],
  [{ also: ["registry.example/a@x"] }, "params.also: …"],
  [{ contexts: { "a/B": "." } }, "contexts.a/B: …"],
  [{ contexts: { base: "hg://x" } }, "contexts.base: BuildKit fetches nothing by hg:// …"],
  [
    { contexts: { alpine: "a", "alpine:latest": "b" } },
    'contexts: "alpine" and "alpine:latest" are one name: remove one',
  ],
  [{ context: "https://git.example/page" }, 'context: "https://git.example/page" is not a git URL …'],
  [{ ssh: { default: { key: "secret" } } }, "params.ssh.default: the key can't be used: it is not …"],
  [
    { ssh: { default: { key: "ssh-ed25519 AAAA" } } },
    "params.ssh.default: the key can't be used: it is a public key …",
  ],
  [{ buildkit_extra_config: "a = " }, "buildkit_extra_config is not TOML (line 1) …"],
  [{ buildkit_extra_config: 'root = "/x"' }, "buildkit_extra_config sets root …"],
  [{ network: "host" }, 'params.network: "host" also needs "allow: [network.host]"'],
  [{ additional_targets: ["image"] }, "params.additional_targets: the folder of …"],
  [
    { contxt: "repo", target: "a", target_file: "b", tags: ["a/b", "ok"], also: [repository] },
    [
      'params: there is no param "contxt"; did you mean "context"?',
      "target and target_file are both given: remove one",
      'params.tags: "a/b" is not a tag; expected up to 128 letters, digits, "_", "." and "-", not beginning with "." or "-"',
      "params.also: registry.example/web is the source's own repository: remove it",
    ].join("\n"),
  ],
  // A misspelt version is not told to be missing as well.
  [{ bump_aliases: true, versoin: "1" }, 'params: there is no param "versoin"; did you mean "version"?'],
  [{ bump_aliases: true, version: ["1"] }, "params.version: expected a string …"],
];
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
    "source.ca_certs.0: expected a string, found a map",
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
  [{ buildkit: "tcp://buildkit.example:1234" }, "source.buildkit: expected a map, found …"],
  [{ buildkit: { address: "buildkit.example:1234" } }, "source.buildkit.address: expected an address …"],
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
  [{ registries: ["base.example"] }, "source.registries: expected a map, found a list"],
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
  [{ aws_access_key_id: "x" }, "source: aws_access_key_id is given without aws_region …"],
];
const gets: Rows = [
  [{ save: true }, 'params: there is no "save"; remove it: image.tar is always delivered'],
  [
    { format: "oci" },
    'params: there is no "format"; write unpack_rootfs: true or output_oci: true; image.tar is delivered without either',
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

const rows = { source: sources, put: puts, get: gets };
for (const [part, mistakes] of Object.entries(rows) as [keyof typeof rows, Rows][]) {
  test(`mistakes in a ${part} are answered with what to write instead`, () => {
    const found = mistakes.map(([mistake, answer]) => [mistake, asFarAs(answer, answers[part](mistake))]);
    assert.deepEqual(found, mistakes);
  });
}

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
