import assert from "node:assert/strict";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { unpackRootfs } from "../../src/rootfs/unpack.ts";
import { createTestHost } from "./host.ts";
import { writeIndex, writeLayout } from "./images.ts";
import { layerStack, type StackOptions } from "./layer-stacks.ts";
import { rawTar } from "./raw-tar.ts";
import { assertSameTree, readTree } from "./trees.ts";
import { layerOf } from "./unpacking.ts";

/** Asserts that a generated image unpacks to the same tree by ours and by umoci; answers how many entries it has. */
export async function assertUnpackedAsByUmoci(options: StackOptions): Promise<number> {
  await using place = await createPrivateFolder("test-differential");
  const archives = layerStack(options).map(rawTar);
  const ours = join(place.path, "ours");
  const layers = archives.map((archive) => layerOf(archive));
  await unpackRootfs({ layers, destination: ours, host: createTestHost() });
  const layout = join(place.path, "layout");
  const { descriptor } = await writeLayout(layout, { layers: archives });
  // By this umoci finds it (OCI image-spec, annotations.md).
  await writeIndex(layout, [
    { ...descriptor, annotations: { "org.opencontainers.image.ref.name": "image" } },
  ]);
  const theirs = join(place.path, "theirs");
  await execa("umoci", ["raw", "unpack", "--image", `${layout}:image`, theirs]);
  const tree = readTree(ours);
  assertSameTree(tree, readTree(theirs));
  assert.ok(tree.size > 1, `seed ${options.seed} made an empty tree`);
  return tree.size;
}
