import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "../../src/host/errors.ts";
import {
  choosePlatform,
  formatPlatform,
  hostPlatform,
  isSamePlatform,
  parsePlatform,
  runnablePlatforms,
} from "../../src/image/platform.ts";

const parse = (text: string) => parsePlatform(text, "platform");
const runnable = (text: string) => runnablePlatforms(parse(text)).map(formatPlatform).join(" ");
const named = (...names: readonly string[]) => names.map((name) => ({ name, platform: parse(name) }));
const choose = (there: readonly string[], wanted: string | undefined, host = "linux/amd64") =>
  choosePlatform(named(...there), wanted === undefined ? undefined : parse(wanted), parse(host)).name;

test("a platform has one normal name, however it is spelt", () => {
  const rows = {
    "linux/amd64": ["amd64", "x86_64", "linux/x86-64", "LINUX/AMD64", "linux/amd64/v1"],
    "linux/amd64/v2": ["linux/amd64/V2"],
    "linux/arm64": ["arm64", "aarch64", "linux/arm64/v8", "linux/arm64/8"],
    "linux/arm64/v9": ["linux/arm64/9", "linux/arm64/v9.0"],
    "linux/arm/v7": ["arm", "armhf", "linux/arm", "linux/arm/7"],
    "linux/arm/v6": ["armel", "linux/arm/6", "linux/arm/v6"],
    "linux/386": ["i386", "linux/i386"],
    "darwin/arm64": ["macos/arm64"],
    "linux/riscv64": ["riscv64"],
  };
  for (const [normal, spellings] of Object.entries(rows))
    for (const spelling of spellings) assert.equal(formatPlatform(parse(spelling)), normal, spelling);
  assert.deepEqual(parse("windows(10.0.17763.1)/amd64"), {
    os: "windows",
    architecture: "amd64",
    "os.version": "10.0.17763.1",
  });
  assert.ok(isSamePlatform({ os: "linux", architecture: "arm64", variant: "v8" }, parse("arm64")));
  assert.ok(!isSamePlatform(parse("linux/arm/v6"), parse("linux/arm/v7")));
});

test("what isn't a platform is refused with an example", () => {
  for (const text of ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b", "a,b"])
    assert.throws(
      () => parse(text),
      /^UserError: platform: ".*" is not a platform; expected os\/architecture\[\/variant\]/,
    );
});

test("the host is named as Go names it", () => {
  assert.equal(formatPlatform(hostPlatform("x64")), "linux/amd64");
  assert.equal(formatPlatform(hostPlatform("arm64")), "linux/arm64");
  assert.equal(formatPlatform(hostPlatform("ppc64")), "linux/ppc64le");
  assert.equal(formatPlatform(hostPlatform("s390x")), "linux/s390x");
});

test("what runs on a platform is its own variant first, then older ones, then its 32-bit sibling", () => {
  assert.equal(runnable("linux/amd64/v3"), "linux/amd64/v3 linux/amd64/v2 linux/amd64 linux/386");
  assert.equal(runnable("linux/arm/v7"), "linux/arm/v7 linux/arm/v6 linux/arm/v5");
  assert.equal(runnable("linux/arm64"), "linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5");
  assert.match(runnable("linux/arm64/v9.1"), /^linux\/arm64\/v9\.1 linux\/arm64\/v9 linux\/arm64\/v8\.6 /);
  assert.equal(runnable("linux/s390x"), "linux/s390x");
  assert.equal(runnable("linux/amd64/odd"), "linux/amd64/odd linux/386");
});

test("a wanted platform is that one or an older variant of its architecture", () => {
  assert.equal(choose(["linux/arm/v6", "linux/arm/v7"], "linux/arm"), "linux/arm/v7");
  assert.equal(choose(["linux/arm/v6", "linux/arm/v7"], "linux/arm/v6"), "linux/arm/v6");
  assert.equal(choose(["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7"), "linux/arm/v6");
  assert.equal(choose(["linux/amd64", "linux/amd64/v2"], "linux/amd64/v3"), "linux/amd64/v2");
  assert.equal(choose(["linux/amd64", "linux/amd64/v3"], "linux/amd64/v2"), "linux/amd64");
  assert.equal(choose(["linux/arm64", "linux/amd64"], "linux/arm64/v8"), "linux/arm64");
  for (const [there, wanted] of [
    [["linux/386"], "linux/amd64"],
    [["linux/amd64/v2"], "linux/amd64"],
    [["linux/arm/v7"], "linux/arm64"],
    [["linux/amd64"], "windows/amd64"],
  ] as const)
    assert.throws(() => choose(there, wanted), UserError, `${there.join()} for ${wanted}`);
});

test("without a wish it is the only image, else the best that runs on the host", () => {
  assert.equal(choose(["linux/s390x"], undefined), "linux/s390x");
  assert.equal(choose(["linux/386", "linux/amd64"], undefined), "linux/amd64");
  assert.equal(choose(["linux/386", "linux/arm64"], undefined), "linux/386");
  assert.equal(choose(["linux/amd64", "linux/arm/v7"], undefined, "linux/arm64"), "linux/arm/v7");
});

test("Windows images match by their build, whatever the revision", () => {
  const there = ["windows(10.0.17763.1)/amd64", "windows(10.0.20348.5)/amd64"];
  assert.equal(choose(there, "windows(10.0.20348.99)/amd64"), there[1]);
  assert.equal(choose(there, "windows/amd64"), there[0]);
  assert.throws(() => choose(there, "windows(10.0.22621)/amd64"), UserError);
});

test("a platform that isn't there is answered with those that are", () => {
  assert.throws(() => choose(["linux/amd64", "linux/arm/v7"], "linux/s390x"), {
    message: "the image has no build for platform linux/s390x; it has linux/amd64, linux/arm/v7",
  });
  assert.throws(() => choose(["linux/arm64", "linux/s390x"], undefined), {
    message:
      /no build for this worker's platform linux\/amd64, only for linux\/arm64, linux\/s390x; name one/,
  });
});
