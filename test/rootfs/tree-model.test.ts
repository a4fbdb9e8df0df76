import assert from "node:assert/strict";
import { test } from "node:test";
import { NameFilter } from "../../src/rootfs/name-filter.ts";
import { type Folder, isSymlink, layerOf, leaf, TreeModel } from "../../src/rootfs/tree-model.ts";
import { randomFrom } from "../support/runs/random.ts";

/** So many that dozens of them share a trace of 30 bits. */
const many = 300_000;

function keyOf(folder: Folder, name: string): string {
  return `${folder.id}/${name}`;
}

test("a model knows which files there are, and of which layer, though many names have the trace of another", () => {
  const random = randomFrom(3);
  /** What is on the disk, and whether it is a symlink. */
  const disk = new Map<string, boolean>();
  const model = new TreeModel(
    (folder, name) => {
      const isLink = disk.get(keyOf(folder, name));
      return isLink === undefined ? undefined : { target: isLink ? "to" : undefined };
    },
    () => {},
  );
  model.startLayer(0);
  const folders = Array.from({ length: 100 }, (_, at) => model.putFolder(model.root, `folder-${at}`));
  const layers = new Map<string, number>();
  const draw = () => {
    const folder = folders[Math.floor(random() * folders.length)] as Folder;
    const name = `a-name-of-some-length-${Math.floor((random() * many) / 50)}`;
    return { folder, name, key: keyOf(folder, name) };
  };
  let hidden = 0;
  for (let layer = 0; layer < 3; layer++) {
    if (layer > 0) model.startLayer(layer);
    for (let count = 0; count < many; count++) {
      const { folder, name, key } = draw();
      const found = model.find(folder, name);
      assert.equal(found !== undefined, disk.has(key), key);
      if (found !== undefined) {
        assert.equal(isSymlink(found), disk.get(key), key);
        // Of lower layers it is enough to know that they are lower.
        assert.equal(layerOf(found) === layer, layers.get(key) === layer, key);
        model.remove(folder, name);
        disk.delete(key);
        hidden++;
      }
      if (random() < 0.2) continue;
      const isLink = random() < 0.1;
      const child = leaf(layer, isLink ? "symlink" : "file");
      model.put(folder, name, child);
      disk.set(key, isLink);
      layers.set(key, layer);
    }
  }
  assert.ok(hidden > many / 2, `${hidden} hidden`);
  const apart = folders.reduce((sum, folder) => sum + [...model.apart(folder)].length, 0);
  assert.ok(apart > 0, "no name had the trace of another");
  assert.ok(apart < 1000, `${apart} names are kept apart`);
});

test("a million names of files take at most eleven bytes each", () => {
  const names = new NameFilter();
  const before = process.memoryUsage().arrayBuffers;
  for (let at = 0; at < 1_000_000; at++) names.add(at % 1000, `a-name-of-some-length-${at}`, false);
  const taken = process.memoryUsage().arrayBuffers - before;
  assert.ok(taken < 1_000_000 * 11, `${taken} bytes`);
});
