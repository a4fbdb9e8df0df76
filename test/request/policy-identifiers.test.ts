import assert from "node:assert/strict";
import { test } from "node:test";
import { doubtOf, type MatchType, whyNeverApplies } from "../../src/request/policy-identifiers.ts";

const never = (identifier: string, type: MatchType = "WILDCARD") => whyNeverApplies(identifier, type);

test("an identifier that may name a source is taken, whatever its wildcards leave open", () => {
  for (const identifier of [
    "*",
    "docker-*",
    "docker-image://*",
    "docker-image://*/alpine:*",
    "docker-image://docker.io*",
    "docker-image://docker.io/*",
    "docker-image://docker.io/lib*",
    "docker-image://docker.io/library/alpine:3.22",
    "docker-image://docker.io/library/alpine*",
    "docker-image://docker.io/team/app@sha256:0123",
    "docker-image://localhost/app:1",
    "docker-image://registry:5000/app:1",
    "docker-image://registry:50*",
    "docker-image://Registry/app:1",
    "docker-image://registry.example/App_1-2+3:*",
    "docker-image://[::1]:5000/app:1",
    "docker-image://[::*",
    "git://github.com/*",
    "https://example.com/a[1]?b=*",
    "local://*",
    "oci-layout://*",
  ])
    assert.equal(never(identifier), undefined, identifier);
  assert.equal(never("alpine|^", "REGEX"), undefined);
  assert.equal(never("docker-image://docker.io/library/alpine:3", "EXACT"), undefined);
});

test("an identifier that no source can have is answered with the name that was meant", () => {
  const meant = {
    "docker-image://alpine": "docker-image://docker.io/library/alpine",
    "docker-image://alpine:3.22": "docker-image://docker.io/library/alpine:3.22",
    "docker-image://alpine:3.2*": "docker-image://docker.io/library/alpine:3.2*",
    "docker-image://alpine@*": "docker-image://docker.io/library/alpine@*",
    "docker-image://library/alpine:*": "docker-image://docker.io/library/alpine:*",
    "docker-image://team/*": "docker-image://docker.io/team/*",
    "docker-image://docker.io/alpine:*": "docker-image://docker.io/library/alpine:*",
    "docker-image://index.docker.io/library/alpine:*": "docker-image://docker.io/library/alpine:*",
    "docker-image://registry.example/app": "docker-image://registry.example/app:*",
    "docker-image://": "docker-image://*",
  };
  for (const [identifier, full] of Object.entries(meant)) {
    const answer = never(identifier) ?? "";
    assert.ok(answer.endsWith(`since otherwise the rule never applies: ${full}`), `${identifier}: ${answer}`);
  }
});

test("characters that only other tools' patterns have are named, and so are schemes that BuildKit lacks", () => {
  for (const [identifier, odd] of [
    ["docker-image://docker.io/library/alpine:[23]", "["],
    ["docker-image://docker.io/library/alpin?:3", "?"],
    ["docker-image://docker.io/library/{alpine,debian}:*", "{"],
    ["docker-image://docker.io/library/alpine:3$", "$"],
  ] as const)
    assert.match(never(identifier) ?? "", new RegExp(`which has no "\\${odd}": .* match_type: REGEX`));
  assert.match(never("docker://docker.io/library/alpine:3") ?? "", /begins with docker-image:\/\/, /);
  assert.match(never("docker.io/library/*") ?? "", /expected the beginning of a source/);
  assert.match(never("docker-image://docker.io/*", "EXACT") ?? "", /match_type: WILDCARD/);
});

test("a pattern for registries that looks like one for images of Docker Hub is told apart", () => {
  const full = "docker-image://docker.io/library/";
  for (const pattern of ["alpine:*", "node:18*", "alpine*"])
    assert.equal(
      doubtOf(`docker-image://${pattern}`, "WILDCARD"),
      `docker-image://${pattern} is for registries with such a name; for images of Docker Hub write ${full}${pattern}`,
    );
  for (const pattern of ["*", "docker*", "local*", "registry.*", "registry:5000*", "registry*/app:1", "a/b*"])
    assert.equal(doubtOf(`docker-image://${pattern}`, "WILDCARD"), undefined, pattern);
  assert.equal(doubtOf("docker-image://alpine:*", "EXACT"), undefined);
});

test("an expression that matches no source, by how it begins, is told apart from one that may", () => {
  const hardly = {
    "docker-image://alpine:3": "alpine:3…",
    "^docker-image://alpine:.*": "alpine:…",
    "^docker-image://alpine$": "alpine",
    "docker-image://alpine.*": "alpine…",
    "docker-image://alpine:3\\.2[0-9]": "alpine:3.2…",
    "\\Adocker-image://library/alpine:3\\z": "alpine:3",
    "^docker-image://docker.io/alpine:": "alpine:…",
    "docker-image://docker\\.io/library/alpine|docker-image://debian:12": "debian:12…",
  };
  for (const [expression, name] of Object.entries(hardly)) {
    const doubt = doubtOf(expression, "REGEX") ?? "nothing";
    assert.ok(
      doubt.endsWith(`BuildKit writes the whole name, as in docker-image://docker.io/library/${name}`),
      `${expression}: ${doubt}`,
    );
  }
  for (const expression of [
    "^alpine",
    "^docker.io/library/alpine:3",
    "^oci://x",
    "^dockerimage://x",
    "a|^b|c",
  ])
    assert.match(doubtOf(expression, "REGEX") ?? "", /^no source matches \^\S+: a source begins with docker/);
  for (const expression of [
    "",
    "^",
    ".*",
    "alpine",
    "^.*alpine",
    "^docker",
    "^docker.image://docker",
    "^https?://example",
    "^(docker-image|git)://",
    "(?i)^alpine",
    "\\Q^alpine\\E",
    "[|]^alpine",
    "^local://",
    "docker-image://.*",
    "^docker-image://[^/]+/alpine",
    "^docker-image://(docker\\.io|quay\\.io)/",
    "^docker-image://regis(try|ter)\\.example/",
    "^docker-image://registry:50{3}/",
    "^docker-image://registry\\.example/.*$",
    "^docker-image://localhost:5000/app",
    "^docker-image://docker.io/library/(alpine|debian):",
  ])
    assert.equal(doubtOf(expression, "REGEX"), undefined, expression);
});
