import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type BuildVersion,
  buildName,
  formatBuildVersion,
  isBuildName,
  parseVersionFields,
} from "../../src/image/build-version.ts";
import { digestOf } from "../../src/image/digest.ts";
import type { TargetName } from "../../src/image/target-name.ts";

const digest = digestOf(Buffer.from("main"));
const other = digestOf(Buffer.from("other"));
const plain: BuildVersion = {
  digest,
  targets: [],
  delivery: { unpackRootfs: false, outputOci: false },
  put: undefined,
};
const target = (name: string, of = digest) => ({ name: name as TargetName, digest: of });

test("a version has no more fields than it needs, and comes back as it was", () => {
  const rows: readonly (readonly [Partial<BuildVersion>, Readonly<Record<string, string>>])[] = [
    [{}, {}],
    [{ targets: [target("a"), target("b", other)] }, { targets: `a=${digest},b=${other}` }],
    [{ delivery: { unpackRootfs: true, outputOci: false } }, { delivery: "rootfs" }],
    [{ delivery: { unpackRootfs: false, outputOci: true } }, { delivery: "oci" }],
    [{ delivery: { unpackRootfs: true, outputOci: true } }, { delivery: "oci,rootfs" }],
    [{ put: "4242-2026-01-02T03:04:05.678Z-1a2b" }, { put: "4242-2026-01-02T03:04:05.678Z-1a2b" }],
  ];
  for (const [more, fields] of rows) {
    const version = { ...plain, ...more };
    assert.deepEqual(formatBuildVersion(version), { digest, ...fields });
    assert.deepEqual(
      parseVersionFields(formatBuildVersion(version) as object as Record<string, unknown>),
      version,
    );
  }
  const unsorted = { ...plain, targets: [target("b", other), target("a")] };
  assert.equal(formatBuildVersion(unsorted).targets, `a=${digest},b=${other}`);
});

test("what is stored has one name, however it is delivered and whichever put it was", () => {
  const name = buildName(plain);
  assert.equal(name, `build-${digest.slice("sha256:".length)}`);
  assert.equal(
    buildName({ ...plain, delivery: { unpackRootfs: true, outputOci: true }, put: "1" } as BuildVersion),
    name,
  );
  const withTargets = [[target("a")], [target("a", other)], [target("b")], [target("a"), target("b")]].map(
    (targets) => buildName({ ...plain, targets }),
  );
  assert.equal(new Set([name, ...withTargets]).size, 5);
  for (const each of [name, ...withTargets]) assert.ok(isBuildName(each), each);
  assert.ok(!isBuildName("build-42"));
});
