import assert from "node:assert/strict";
import { test } from "node:test";
import { wantedPlatforms } from "../../../src/builder/inputs/wanted-platforms.ts";
import { parsePlatform } from "../../../src/image/platform.ts";

const named = (...names: string[]) => names.map((name) => parsePlatform(name, "test"));
const targets = named("linux/arm64", "linux/s390x");
const build = { targets, own: parsePlatform("linux/amd64", "test") };

test("an image has to serve the platforms of the build, unless each FROM that uses it names another", () => {
  const wanted = (dockerfile: string | undefined) => wantedPlatforms(dockerfile, "$base", build);
  assert.deepEqual(wanted(undefined), build.targets);
  assert.deepEqual(wanted("FROM scratch\n"), build.targets);
  assert.deepEqual(wanted(`ARG base\nFROM \${base}\n`), build.targets);
  assert.deepEqual(wanted("FROM --platform=$TARGETPLATFORM $base AS x\n"), build.targets);
  assert.deepEqual(wanted("FROM --platform=$BUILDPLATFORM $base AS x\n"), named("linux/amd64"));
  assert.deepEqual(wanted(`  from --platform=\${BUILDPLATFORM} "\${base:-alpine}"\n`), named("linux/amd64"));
  assert.deepEqual(wanted("FROM --platform=linux/386 $base\n"), named("linux/386"));
  assert.deepEqual(wanted("FROM --platform=$OTHER $base\n"), []);
  assert.deepEqual(wanted("FROM --platform=$BUILDPLATFORM $base\nFROM $base\n"), [
    ...named("linux/amd64"),
    ...targets,
  ]);
  assert.deepEqual(wanted("FROM --platform=$BUILDPLATFORM $base_image\nFROM $base\n"), build.targets);
});

test("a named context is found by its name, and a daemon's own platform may be unknown", () => {
  const dockerfile = "FROM --platform=$BUILDPLATFORM base\n";
  assert.deepEqual(wantedPlatforms(dockerfile, "base", build), named("linux/amd64"));
  assert.deepEqual(wantedPlatforms(dockerfile, "base", { ...build, own: undefined }), []);
});
