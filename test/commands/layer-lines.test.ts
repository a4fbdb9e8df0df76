import assert from "node:assert/strict";
import { test } from "node:test";
import { layerLines } from "../../src/commands/layer-lines.ts";
import { digestOf } from "../../src/image/digest.ts";
import type { Image } from "../../src/image/image-tree.ts";

function image(architecture: string, sizes: readonly number[]): Image {
  const digest = digestOf(Buffer.from(architecture));
  const layers = sizes.map((size) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size }));
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 1 };
  return {
    descriptor: config,
    manifestBytes: Buffer.from(""),
    manifest: { schemaVersion: 2, config, layers, annotations: {} },
    configBytes: Buffer.from(""),
    config: {} as Image["config"],
    platform: { os: "linux", architecture },
  };
}

test("an image's layers are told with their sizes, the largest first", () => {
  assert.deepEqual(layerLines({ images: [image("amd64", [1_000, 40e6, 5e6])] }), [
    "3 layers, 45.0 MB: 40.0 MB, 5.0 MB, 1.0 kB",
  ]);
  assert.deepEqual(layerLines({ images: [image("amd64", [5e6])] }), ["1 layer, 5.0 MB"]);
});

test("of many layers the largest are told, and of several platforms each", () => {
  const many = image("arm64", Array(20).fill(1e6));
  assert.deepEqual(layerLines({ images: [image("amd64", [2e6]), many] }), [
    "1 layer for linux/amd64, 2.0 MB",
    `20 layers for linux/arm64, 20.0 MB: ${Array(8).fill("1.0 MB").join(", ")}, 12 more of 12.0 MB`,
  ]);
});
