import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "../../src/image/digest.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import type { TargetName } from "../../src/image/target-name.ts";
import type { Build } from "../../src/store/build.ts";
import { decodeBuildIndex, encodeBuildIndex } from "../../src/store/build-index.ts";
import { putRecord } from "../support/images/stored-image.ts";

const digest = digestOf(Buffer.from("image"));
const descriptor = { mediaType: mediaTypes.ociManifest, digest, size: 5 };
const build: Build = {
  version: {
    digest,
    targets: ["0", "test"].map((name) => ({ name: name as TargetName, digest })),
    delivery: { unpackRootfs: true, outputOci: false },
    put: "4242-2026-01-02T03:04:05.678Z-1a2b",
  },
  targets: [
    {
      name: "",
      descriptor: { ...descriptor, platform: { os: "linux", architecture: "arm64", variant: "v8" } },
    },
    {
      name: "test" as TargetName,
      descriptor: { ...descriptor, annotations: { "org.example": "kept" } },
      tags: ["test-1", "test"],
    },
    { name: "0" as TargetName, descriptor, tags: [] },
  ],
  put: { ...putRecord, layers: digest },
};

const decode = (value: unknown) => decodeBuildIndex(Buffer.from(JSON.stringify(value)), "store");
const document = (): Record<string, unknown> => JSON.parse(Buffer.from(encodeBuildIndex(build)).toString());

const named = (name: string) =>
  encodeBuildIndex({
    ...build,
    targets: [build.targets[0], { name: name as TargetName, descriptor, tags: [] }],
  });

test("a build comes back as it was recorded, and is the same bytes each time", () => {
  const bytes = encodeBuildIndex(build);
  assert.deepEqual(decodeBuildIndex(bytes, "store"), build);
  assert.deepEqual(encodeBuildIndex(decodeBuildIndex(bytes, "store")), bytes);
});

test("what isn't a build index is refused by what it lacks", () => {
  const { annotations, manifests, ...rest } = document();
  const rows: readonly (readonly [unknown, RegExp])[] = [
    [{ ...rest, manifests }, /store: build index: annotations/],
    [{ ...rest, annotations, manifests: [] }, /build index: holds no target; expected the main target first/],
    [{ ...rest, annotations, manifests: [descriptor] }, /build index: manifests\[0\]\.annotations/],
    [{ ...document(), mediaType: mediaTypes.ociManifest }, /build index: mediaType/],
    [
      {
        ...document(),
        annotations: { ...(annotations as object), "org.concourse-ci.oci-build.version": digest },
      },
      /is not a version\. It was damaged, or stored by another release of this resource; run the put again/,
    ],
    [
      {
        ...document(),
        annotations: { ...(annotations as object), "org.concourse-ci.oci-build.stored": "yesterday" },
      },
      /stored/,
    ],
  ];
  for (const [value, message] of rows) assert.throws(() => decode(value), message);
});

test("targets have names that can be a stage's, and no other", () => {
  for (const name of ["test", "Test-2", "a.b_c", "0"])
    assert.equal(decodeBuildIndex(named(name), "store").targets[1]?.name, name);
  for (const name of [
    "",
    ".",
    "..",
    "../x",
    "/x",
    "a/b",
    ".hidden",
    "-x",
    "a\0",
    "a b",
    "ä",
    "x".repeat(256),
  ])
    assert.throws(
      () => decodeBuildIndex(named(name), "store"),
      /can't be the name of a target/,
      JSON.stringify(name),
    );
});
