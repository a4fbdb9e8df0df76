import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { unpackRootfs } from "../../src/rootfs/unpack.ts";
import { createTestHost } from "../support/host.ts";
import { writeIndex, writeLayout } from "../support/images.ts";
import { layerStack, type StackOptions } from "../support/layer-stacks.ts";
import { rawTar } from "../support/raw-tar.ts";
import { differences, readTree } from "../support/trees.ts";
import { layerOf } from "../support/unpacking.ts";

/** Unpacks the same image by ours and by umoci; answers how many entries ours has, and how the trees differ. */
async function compare(options: StackOptions): Promise<{ entries: number; found: string[] }> {
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
  return { entries: tree.size, found: differences(tree, readTree(theirs)) };
}

test("generated stacks of small layers unpack as umoci unpacks them", async () => {
  let entries = 0;
  for (let seed = 1; seed <= 16; seed++) {
    const compared = await compare({ seed, layers: 4, members: 60, longest: 3000 });
    assert.deepEqual(compared.found, [], `seed ${seed}`);
    entries += compared.entries;
  }
  assert.ok(entries > 1000, `${entries} entries`);
});

test("generated stacks of layers large enough for threads unpack as umoci unpacks them", async () => {
  for (let seed = 101; seed <= 104; seed++) {
    const { found } = await compare({ seed, layers: 4, members: 200, longest: 150_000 });
    assert.deepEqual(found, [], `seed ${seed}`);
  }
});
