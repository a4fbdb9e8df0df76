import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuildDescription } from "../../../src/builder/progress/build-description.ts";
import { solveFailure } from "../../../src/builder/progress/failure.ts";
import { BuildStep, parseVertexName } from "../../../src/builder/progress/step.ts";
import { namesOfPut } from "../../../src/host/author-names.ts";

// The words are BuildKit's own, of failing builds; only hosts are others.

const dockerfile = {
  name: "app/Dockerfile",
  text: "FROM scratch AS shell\nFROM shell AS build\nRUN make\nFROM scratch\nCOPY --from=buidl /x /\n",
};
const build: BuildDescription = {
  names: namesOfPut,
  dockerfile,
  context: {
    name: "app",
    holds: (path) => path === "kept.txt",
    list: (folder) => (folder === "." ? ["kept.txt", "package.json", "src"] : ["main.ts"]),
    ignoreFile: () => ({ name: "app/.dockerignore", text: "# kept\n*.txt\n[a-\n" }),
  },
  hasLogin: (host) => host === "known.example",
};

/** The message for what BuildKit says. @param vertex the step that failed */
function messageFor(said: string, vertex?: string, described: BuildDescription = build): string {
  const step = vertex === undefined ? undefined : new BuildStep(parseVertexName(vertex), vertex);
  const failure = solveFailure(step, [`error: failed to solve: ${said}`], described);
  assert.ok(failure !== undefined);
  return failure.message;
}

const unresolved = (name: string, reference: string, why: string) =>
  `${name}: failed to resolve source metadata for ${reference}: ${why}`;
const asked = (host: string, why: string, query = "") =>
  `failed to do request: Head "https://${host}/v2/x/manifests/1${query}": ${why}`;
const insufficient =
  "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed";

const pulls: readonly (readonly [string, string, RegExp])[] = [
  [
    "a tag that isn't there",
    unresolved("r.example/base:nope", "r.example/base:nope", "r.example/base:nope: not found"),
    /^image r\.example\/base:nope can't be pulled: r\.example has no such image \(not found\): check the name, the tag/,
  ],
  [
    "a platform that isn't there",
    unresolved("r.example/base:1", "r.example/base:1", "no match for platform in manifest: not found"),
    /has no image for this platform .*check "platforms"/,
  ],
  [
    "a private image, without credentials",
    unresolved("r.example/base:1", "r.example/base:1", insufficient),
    /r\.example refuses it .*if it is private, give username and password for r\.example under "registries" in the source/,
  ],
  [
    "a private image, with wrong credentials",
    unresolved(
      "known.example/base:1",
      "known.example/base:1",
      "unexpected status from HEAD request to https://known.example/v2/base/manifests/1: 401 Unauthorized",
    ),
    /known\.example refuses it to the user given for known\.example .*check username and password/,
  ],
  [
    "an image of Docker Hub, which doesn't say whether it is there",
    unresolved("debain", "docker.io/library/debain:latest", insufficient),
    /^image docker\.io\/library\/debain:latest can't be pulled: docker\.io refuses it .*check that the image exists/,
  ],
  [
    "a host that is down",
    unresolved(
      "r.example/x:1",
      "r.example/x:1",
      asked("r.example", "dial tcp 10.0.0.1:443: connect: connection refused"),
    ),
    /r\.example can't be reached \(dial tcp 10\.0\.0\.1:443: connect: connection refused\): .*give "mirrors" for r\.example/,
  ],
  [
    "a network that isn't there",
    unresolved(
      "192.0.2.1/x:1",
      "192.0.2.1/x:1",
      asked("192.0.2.1", "dial tcp 192.0.2.1:443: connect: network is unreachable"),
    ),
    /192\.0\.2\.1 can't be reached/,
  ],
  [
    "a host that is unknown",
    unresolved(
      "nosuch.example/x:1",
      "nosuch.example/x:1",
      asked("nosuch.example", "dial tcp: lookup nosuch.example on 127.0.0.1:53: no such host"),
    ),
    /the name of nosuch\.example can't be looked up .*check the image's name/,
  ],
  [
    "Docker Hub out of reach",
    unresolved(
      "debian:12",
      "docker.io/library/debian:12",
      asked(
        "registry-1.docker.io",
        "dial tcp: lookup registry-1.docker.io on 127.0.0.1:53: server misbehaving",
      ),
    ),
    /the name of registry-1\.docker\.io can't be looked up .*without access to docker\.io, name a mirror under "registry_mirrors"/,
  ],
  [
    "a mirror that is down",
    unresolved(
      "up.example/x:1",
      "up.example/x:1",
      asked("127.0.0.1:1", "dial tcp 127.0.0.1:1: connect: connection refused", "?ns=up.example"),
    ),
    /127\.0\.0\.1:1, a mirror of up\.example, can't be reached .*: check its name in "mirrors" of up\.example under "registries"/,
  ],
  [
    "a mirror that is unknown",
    unresolved(
      "debian:12",
      "docker.io/library/debian:12",
      asked("m.example", "dial tcp: lookup m.example on 127.0.0.1:53: no such host", "?ns=docker.io"),
    ),
    /the name of m\.example, a mirror of docker\.io, can't be looked up .*: check it under "registry_mirrors"$/,
  ],
  [
    "a mirror that wants a login",
    unresolved(
      "debian:12",
      "docker.io/library/debian:12",
      "unexpected status from HEAD request to https://m.example/v2/library/debian/manifests/12?ns=docker.io: 401 Unauthorized",
    ),
    /m\.example, a mirror of docker\.io, refuses it .*give username and password for m\.example under "registries"/,
  ],
  [
    "a mirror with a wrong login",
    unresolved(
      "debian:12",
      "docker.io/library/debian:12",
      "unexpected status from HEAD request to https://known.example/v2/library/debian/manifests/12?ns=docker.io: 401 Unauthorized",
    ),
    /refuses it to the user given for known\.example/,
  ],
  [
    "plain http",
    unresolved(
      "r.example:5000/x:1",
      "r.example:5000/x:1",
      asked("r.example:5000", "http: server gave HTTP response to HTTPS client"),
    ),
    /uses plain http .*set "insecure: true" for r\.example:5000/,
  ],
  [
    "a certificate of an unknown CA",
    unresolved(
      "r.example/x:1",
      "r.example/x:1",
      asked("r.example", "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
    ),
    /signed by unknown authority; its certificate is not trusted: give its CA as "ca_certs"/,
  ],
  [
    "a certificate for another name",
    unresolved(
      "10.0.0.1/x:1",
      "10.0.0.1/x:1",
      asked(
        "10.0.0.1",
        "tls: failed to verify certificate: x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs",
      ),
    ),
    /its certificate is for another name/,
  ],
  [
    "a certificate that has expired",
    unresolved(
      "r.example/x:1",
      "r.example/x:1",
      asked(
        "r.example",
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-26T18:45:01Z is after 2026-11-25T18:44:46Z",
      ),
    ),
    /its certificate has expired/,
  ],
  [
    "a stage that isn't there, but is nearly named so",
    unresolved(
      "buidl",
      "docker.io/library/buidl:latest",
      `${asked("registry-1.docker.io", "dial tcp: lookup registry-1.docker.io on 127.0.0.1:53: no such host")} (did you mean build?)`,
    ),
    /^there is no stage "buidl" \(did you mean "build"\?\); the Dockerfile's stages: shell, build\. There is no such image either/,
  ],
];
for (const [what, said, message] of pulls) {
  test(`${what}: BuildKit's words are told as what to change`, () => {
    assert.match(messageFor(said, "[internal] load metadata for x"), message);
  });
}

test("a token that is refused is told with its image, which only the step names", () => {
  const said = "failed to fetch oauth token: unauthorized";
  const step = "[internal] load metadata for known.example/base:1";
  assert.match(
    messageFor(said, step),
    /^image known\.example\/base:1 can't be pulled: known\.example refuses it to the user given/,
  );
});

const notFound = (reference: string) =>
  `failed to resolve source metadata for ${reference}: ${reference}: not found`;
const resolving = (reference: string) => `resolve image config for docker-image://${reference}`;

test("a frontend or an SBOM scanner that can't be pulled is told as such", () => {
  const hub = "docker.io/docker/dockerfile:1";
  assert.match(
    messageFor(notFound(hub), resolving(hub)),
    /^the frontend docker\.io\/docker\/dockerfile:1, which .*"# syntax=" line .*remove the line/,
  );
  const own = "r.example/our/frontend:1";
  const described = { ...build, dockerfile: { ...dockerfile, text: `# syntax=${own}\n${dockerfile.text}` } };
  assert.match(
    messageFor(notFound(own), resolving(own), described),
    /^the frontend r\.example\/our\/frontend:1/,
  );
  const scanner = "docker.io/docker/buildkit-syft-scanner:stable-1";
  assert.match(
    messageFor(notFound(scanner), resolving(scanner), described),
    /^the SBOM scanner .*"sbom: \{generator: …\}"/,
  );
});

const missing = (path: string) =>
  `failed to compute cache key: failed to calculate checksum of ref c70nacsgd1cnqv6metpcaaj0i::p33d51n2qd2vil7o7309sewl7: "${path}": not found`;

test("a file that isn't in the context is told with the context, and the name that was meant", () => {
  const said = messageFor(missing("/packge.json"), "[1/1] COPY packge.json /");
  assert.match(
    said,
    /^step \[1\/1\] failed: COPY packge\.json \/\npackge\.json isn't in the context "app" \(did you mean package\.json\?\)/,
  );
  assert.match(
    messageFor(missing("/src/mian.ts"), "[1/1] ADD src/mian.ts /"),
    /did you mean src\/main\.ts\?/,
  );
  assert.match(
    messageFor(missing("/other"), "[1/1] COPY ../other /"),
    /other isn't in the context "app": paths in COPY.*can't lead out of it/,
  );
  const git = { names: namesOfPut, dockerfile };
  assert.match(messageFor(missing("/other"), "[1/1] COPY other /", git), /other isn't in the build context$/);
});

test("a file that the ignore file keeps out is told with that file", () => {
  const said = messageFor(missing("/kept.txt"), "[1/1] COPY kept.txt /");
  assert.match(said, /kept\.txt is in the context "app", but app\/\.dockerignore keeps it out of the build/);
});

test("a file that isn't in a stage is told with the stage", () => {
  const copied = messageFor(missing("/nothing"), "[stage-1 1/1] COPY --from=shell /nothing /");
  assert.match(copied, /\/nothing isn't in "shell", the stage, image or context/);
  const mounted = messageFor(
    missing("/nothing"),
    "[2/2] RUN --mount=type=bind,from=shell,source=/nothing,target=/m cat /m",
  );
  assert.match(mounted, /\/nothing isn't in "shell"/);
});

const ignoring = (text: string): BuildDescription => ({
  names: namesOfPut,
  context: { name: "app", holds: () => false, list: () => [], ignoreFile: () => ({ name: "i", text }) },
});

test("a bad pattern of an ignore file is told with file and line", () => {
  assert.match(
    messageFor("syntax error in pattern"),
    /^app\/\.dockerignore, line 3: "\[a-" is not a pattern/,
  );
  assert.match(
    messageFor('illegal exclusion pattern: "!"', undefined, ignoring("a\n!\n")),
    /^i, line 2: "!" is not/,
  );
  for (const [text, line] of [
    ["[]a]\n[b]\n[", 1],
    ["[a-z]\n[^x]\n[]\n", 3],
    ["a\\[\nb\\\n", 2],
    ["!ok\n![x\n", 2],
    ["[\\]]\n[a-]\n", 2],
  ] as const)
    assert.match(
      messageFor("syntax error in pattern", undefined, ignoring(text)),
      new RegExp(`^i, line ${line}: `),
      text,
    );
});

const others: readonly (readonly [string, RegExp])[] = [
  [
    "unsupported frontend capability moby.buildkit.frontend.subrequests: Unimplemented: unsupported frontend capability moby.buildkit.frontend.subrequests",
    /^the frontend .*"# syntax=" line .* answers no such question .*: name docker\/dockerfile:1\.8 or newer/,
  ],
  [
    "unsupported request frontend.lint: unsupported request frontend.lint",
    /^the frontend .*"# syntax=" line .* answers no such question/,
  ],
  [
    "rpc error: code = Unknown desc = invalid includepatterns: [[a-]: syntax error in pattern",
    /^"\[a-" in a COPY or ADD is not a pattern/,
  ],
  [
    'target stage "buidl" could not be found (did you mean build?)',
    /\(did you mean build\?\); the Dockerfile's stages: shell, build$/,
  ],
  ["invalid stage index 7", /COPY --from counts stages from 0; the Dockerfile's stages: shell, build$/],
  ["secret tok: not found", /add "secrets: \{tok: \{text: …\}\}"/],
  ['no SSH key "" forwarded from the client', /add "ssh: \{default: …\}"/],
  ["failed to load LLB: network.host is not allowed", /network\.host is not allowed; name it under "allow"/],
  [
    "granting entitlement security.insecure is not allowed by build daemon configuration",
    /security\.insecure is not allowed.*; name it under "allow"/,
  ],
  ["failed to push r.example/app: denied: over quota", /the registry refuses the push/],
  [
    "failed to push r.example/app: unexpected status from PUT request to https://r.example/v2/app/blobs/uploads/1?_state=x&digest=y: 503 Service Unavailable",
    /^failed to push r\.example\/app: the registry answers 503 Service Unavailable$/,
  ],
  [
    'failed to convert agent config for ID: "default": failed to parse /tmp/ssh-default-0/key: ssh: invalid openssh private key format',
    /^ssh\.default: the key can't be used \(invalid openssh private key format\)/,
  ],
  [
    'process "/bin/sh -c nosuchprogram" did not complete successfully: exit code: 127',
    /^exit code: 127; 127 means that a command was not found in the image$/,
  ],
  [
    'process "/bin/sh -c make" did not complete successfully: exit code: 137',
    /^exit code: 137; .*out of memory$/,
  ],
  [
    'process "/bin/sh -c echo \\"a\\" did not complete successfully: b\\nexit 3" did not complete successfully: exit code: 3',
    /^exit code: 3$/,
  ],
  [
    "dockerfile parse error on line 2: unknown instruction: COYP (did you mean COPY?)",
    /^app\/Dockerfile:2: unknown instruction: COYP \(did you mean COPY\?\)$/,
  ],
];
for (const [said, message] of others) {
  test(`${said.slice(0, 60)}… is told as what to change, or as it is`, () => {
    assert.match(messageFor(said), message);
  });
}

test("what is said of a failed build takes time that grows with its length alone", () => {
  for (const piece of ["network.host ", "failed to push ", 'process "', "x509: ", "--from=", "[", "://"]) {
    const begun = performance.now();
    messageFor(piece.repeat(1e6 / piece.length), "[1/1] RUN x");
    assert.ok(performance.now() - begun < 5_000, piece);
  }
});

test("of a buildctl that Go's runtime ends, the reason is told with the limit that it names, and no trace", () => {
  const said = [
    "runtime: failed to create new OS thread (have 8 already; errno=11)",
    "fatal error: newosproc",
    "",
    "runtime stack:",
    "runtime.throw({0xe30a65?, 0x3c73e2ee7e10?})",
    "\truntime/panic.go:1229 +0x48 fp=0x3c73e2ee7de8 sp=0x3c73e2ee7db8 pc=0x488e68",
  ];
  const { message } = solveFailure(undefined, said, build) ?? {};
  assert.match(
    message ?? "",
    /^runtime: failed .*\nfatal error: newosproc\nthis step has as many processes .*-u\)$/,
  );
});
