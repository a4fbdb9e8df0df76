import assert from "node:assert/strict";
import { test } from "node:test";
import {
  familiarRepository,
  formatReference,
  parseReference,
  parseRepository,
} from "../../src/image/reference.ts";

const hex = "0123456789abcdef".repeat(4);
const parse = (text: string) => parseReference(text, "image");
const familiar = (text: string) => familiarRepository(parse(text));

test("a reference is read as Docker reads it", () => {
  const rows = {
    debian: "docker.io/library/debian",
    "debian:12": "docker.io/library/debian:12",
    "team/app": "docker.io/team/app",
    "index.docker.io/team/app": "docker.io/team/app",
    "docker.io/debian": "docker.io/library/debian",
    "localhost/app": "localhost/app",
    "localhost:5000/app:1.2-rc_3": "localhost:5000/app:1.2-rc_3",
    "registry.example/a/b__c/d-e.f:x": "registry.example/a/b__c/d-e.f:x",
    "Registry.Example/app": "Registry.Example/app",
    "[::1]:5000/app:1": "[::1]:5000/app:1",
    [`app@sha256:${hex}`]: `docker.io/library/app@sha256:${hex}`,
    [`registry.example:5000/app:1@sha256:${hex}`]: `registry.example:5000/app:1@sha256:${hex}`,
  };
  for (const [text, full] of Object.entries(rows)) assert.equal(formatReference(parse(text)), full, text);
});

test("what isn't a reference is refused with what to change", () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ["", /expected host\/path/],
    ["https://user:secret@registry.example/app", /an image name has no scheme; remove https:\/\//],
    ["registry.example/Team/app", /write "Team" in lower case: "team"/],
    ["registry.example/", /the part "" must be/],
    ["registry.example/a//b", /the part "" must be/],
    ["registry.example/../x", /the part "\.\." must be/],
    ["registry.example:99999/app", /"registry\.example:99999" is not host\[:port\]/],
    ["app:", /"" is not a tag/],
    ["app:-x", /"-x" is not a tag/],
    [`app:${"x".repeat(129)}`, /is not a tag/],
    ["app@sha256:123", /"sha256:123" is not a digest/],
    [`app@SHA256:${hex}`, /is not a digest/],
    [hex, /64 hex digits alone are an image's ID/],
    [`registry.example/${"a".repeat(250)}`, /at most 255 characters/],
    ["app with blanks", /the part "app with blanks" must be/],
  ];
  for (const [text, message] of rows) assert.throws(() => parse(text), message, text);
  assert.throws(
    () => parse("https://user:secret@registry.example/app"),
    (error: Error) => !/secret/.test(error.message),
  );
});

test("a repository has neither tag nor digest", () => {
  assert.deepEqual(parseRepository("registry.example:5000/app", "source"), {
    host: "registry.example:5000",
    path: "app",
  });
  assert.throws(() => parseRepository("registry.example/app:1", "source"), /leave out the tag "1"/);
  assert.throws(() => parseRepository(`app@sha256:${hex}`, "source"), /leave out the digest/);
});

test("Docker's short names are those of Docker Hub alone", () => {
  assert.equal(familiar("docker.io/library/debian"), "debian");
  assert.equal(familiar("docker.io/team/app"), "team/app");
  assert.equal(familiar("docker.io/library/a/b"), "library/a/b");
  assert.equal(familiar("registry.example/library/debian"), "registry.example/library/debian");
});
