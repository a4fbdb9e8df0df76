import assert from "node:assert/strict";
import { test } from "node:test";
import { solveFailure } from "../../../src/builder/progress/failure.ts";
import { cacheFailureIn, isPassingPush, isPushRace } from "../../../src/builder/solve/failure-kinds.ts";
import { namesOfPut } from "../../../src/host/author-names.ts";

// The words are BuildKit's own, of failing builds; only hosts and upload states are shortened.

const cache = {
  locations: [
    { type: "local", attributes: { directory: "/work/cache" }, mode: "max", export: true },
    { type: "registry", attributes: { ref: "registry.example/app:cache" }, mode: "max", export: true },
  ],
} as const;
const digest = `sha256:${"3a".repeat(32)}`;
const ref = "c70nacsgd1cnqv6metpcaaj0i::p33d51n2qd2vil7o7309sewl7";

const unread: Readonly<Record<string, string>> = {
  "a blob that is gone from a local cache": `failed to compute cache key: NotFound: rpc error: code = NotFound desc = content ${digest}: not found`,
  "a blob that was changed": `failed to compute cache key: failed commit on ref "layer-${digest}": unexpected commit digest ${digest}, expected ${digest}: failed precondition`,
  "a blob that was cut short":
    "failed to compute cache key: short read: expected 1064280 bytes but got 0: unexpected EOF",
  "a blob that a registry has lost": `failed to compute cache key: failed to copy: httpReadSeeker: failed open: could not fetch content descriptor ${digest} (application/vnd.oci.image.layer.v1.tar+gzip) from remote: not found`,
  "a connection that was cut":
    "failed to compute cache key: failed to copy: read tcp 127.0.0.1:48204->127.0.0.1:46367: read: connection reset by peer",
  "a blob that is missed at the export": `content ${digest}: not found`,
  "an importer that can't be made":
    "failed to configure s3 cache importer: bucket ($AWS_BUCKET) not set for s3 cache",
};
for (const [what, failure] of Object.entries(unread)) {
  test(`${what} is a layer cache that can't be read`, () => {
    assert.equal(cacheFailureIn(failure, cache), "reading");
    assert.equal(cacheFailureIn(failure, { locations: [] }), undefined, "there is no layer cache");
  });
}

const unwritten: Readonly<Record<string, string>> = {
  "an exporter that can't be made":
    "failed to configure s3 cache exporter: bucket ($AWS_BUCKET) not set for s3 cache",
  "a folder that is none": "mkdir /work/cache: not a directory",
  "a disk that is full": "open /work/cache/cache/ingest/1/data: no space left on device",
};
for (const [what, failure] of Object.entries(unwritten)) {
  test(`${what} is a layer cache that can't be written`, () => {
    assert.equal(cacheFailureIn(failure, cache), "writing");
  });
}

const authors: Readonly<Record<string, string>> = {
  "a COPY of a missing file": `failed to compute cache key: failed to calculate checksum of ref ${ref}: "/missing.txt": not found`,
  "a COPY of a missing file that is named like a blob": `failed to compute cache key: failed to calculate checksum of ref ${ref}: "/blob not found": not found`,
  "a COPY through links in a circle": `failed to compute cache key: failed to calculate checksum of ref ${ref}: too many links`,
  "a COPY of a path under a file": `failed to compute cache key: failed to calculate checksum of ref ${ref}: lstat /var/lib/buildkit-mount3568771957//bin/busybox/x: not a directory`,
  "a bind mount of a missing file":
    'process "/bin/sh -c cat /m" did not complete successfully: open /nothing.txt: no such file or directory',
  "a RUN that fails": 'process "/bin/sh -c cat /work/cache" did not complete successfully: exit code: 1',
  "a base image that isn't there":
    "registry.example/nothing:1: failed to resolve source metadata for registry.example/nothing:1: registry.example/nothing:1: not found",
  "an ADD of a URL that isn't there": "failed to load cache key: invalid response status 404",
  "a secret that isn't there": "secret tok: not found",
};
for (const [what, failure] of Object.entries(authors)) {
  test(`${what} is no fault of a layer cache`, () => assert.equal(cacheFailureIn(failure, cache), undefined));
}

test("what is shown of the Dockerfile with a failure is no sign of its kind", () => {
  const shown = [
    "Dockerfile:2",
    '   2 | >>> RUN --mount=type=secret,id=tok,required echo "the blob was not found"',
  ];
  const failure = solveFailure(undefined, [...shown, "error: failed to solve: secret tok: not found"], {
    names: namesOfPut,
  });
  assert.match(failure?.message ?? "", /blob was not found/);
  assert.equal(cacheFailureIn(failure?.reason ?? "", cache), undefined);
});

const upload =
  "failed to push registry.example/app: unexpected status from PUT request to https://registry.example/v2/app/blobs/uploads/5b913ba5?_state=x0Vs&digest=sha256%3Add9c";
const passing: Readonly<Record<string, string>> = {
  "503": `${upload}: 503 Service Unavailable`,
  "429": `${upload}: 429 Too Many Requests`,
  "429 in the registry's words": "failed to push registry.example/app: toomanyrequests: too many",
  "a CDN's 520": `${upload}: 520 unknown`,
  "500 in the registry's words": "failed to push registry.example/app: unknown",
  "500 to a manifest":
    "failed to push registry.example/app: unexpected status from PUT request to https://registry.example/v2/app/manifests/latest: 500 Internal Server Error",
  "a connection that is reset": `failed to push registry.example/app: failed commit on ref "config-${digest}": failed to do request: Put "https://registry.example/v2/app/blobs/uploads/dd43d34d?_state=&digest=sha256%3A311f": read tcp 127.0.0.1:33206->127.0.0.1:46367: read: connection reset by peer`,
  "blobs that the registry doesn't see yet":
    "failed to push registry.example/app: unknown: blob unknown to registry",
  "a registry that is down":
    'failed to push registry.example/app: failed to do request: Head "http://registry.example/v2/app/blobs/sha256:ed05": dial tcp 127.0.0.1:1: connect: connection refused',
  "a name that can't be looked up":
    'failed to push registry.example/app: failed to do request: Head "https://registry.example/v2/app/blobs/sha256:ed05": dial tcp: lookup registry.example on 127.0.0.1:53: server misbehaving',
  "a network that is gone":
    'failed to push registry.example/app: failed to do request: Head "https://registry.example/v2/app/blobs/sha256:ed05": dial tcp 192.0.2.1:443: connect: network is unreachable',
};
for (const [what, failure] of Object.entries(passing)) {
  test(`a push that fails with ${what} may pass`, () => assert.equal(isPassingPush(failure), true));
}

const lasting: Readonly<Record<string, string>> = {
  "401":
    "failed to push registry.example/app: unexpected status from HEAD request to https://registry.example/v2/app/blobs/sha256:82d8: 401 Unauthorized",
  "too few rights":
    "failed to push registry.example/app: push access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
  "403": `${upload}: 403 Forbidden`,
  "403 in the registry's words": "failed to push registry.example/app: denied: over quota",
  "404 in the registry's words":
    "failed to push registry.example/app: unknown: repository name not known to registry",
  "413": `${upload}: 413 Payload Too Large`,
  "a blob whose digest the registry can't keep": `failed to push registry.example/app: unknown: blob unknown to registry - sha512:${"3a".repeat(64)}`,
};
for (const [what, failure] of Object.entries(lasting)) {
  test(`a push that fails with ${what} isn't tried again`, () => assert.equal(isPassingPush(failure), false));
}

test("what passes at a push fails for good elsewhere", () => {
  assert.equal(isPassingPush("process failed: 503 Service Unavailable, connection refused"), false);
});

test("a push in a race with another is told from other failures", () => {
  assert.equal(isPushRace("failed to push registry.example/app: unknown: blob unknown to registry"), true);
  assert.equal(isPushRace("failed to push registry.example/app: unknown"), false);
});
