import assert from "node:assert/strict";
import { test } from "node:test";
import { AttributeTable } from "../../src/rootfs/attribute-table.ts";
import { FolderTable } from "../../src/rootfs/folder-table.ts";
import { randomFrom } from "../support/runs/random.ts";

test("a table finds each folder by parent and name, lists a parent's folders, and forgets what is removed", () => {
  const random = randomFrom(7);
  const table = new FolderTable();
  const names = new Map<number, string>([[0, ""]]);
  const inside = new Map<number, Map<string, number>>([[0, new Map()]]);
  const parents = new Map<number, number>();
  for (let step = 0; step < 60_000; step++) {
    const ids = [...(step % 1000 === 0 ? inside.keys() : [])];
    for (const id of ids) {
      assert.equal(table.name(id), names.get(id));
      const listed: number[] = [];
      for (let at = table.get(id, "first"); at !== 0; at = table.get(at, "next")) listed.push(at);
      assert.deepEqual(
        listed.toSorted((a, b) => a - b),
        [...(inside.get(id)?.values() ?? [])],
      );
    }
    const parent = Math.floor(random() * Math.min(table.length, 50));
    const folders = inside.get(parent);
    if (folders === undefined) {
      assert.equal(table.exists(parent), false);
      continue;
    }
    const name = `${"é".repeat(Math.floor(random() * 20))}${Math.floor(random() * 200)}`;
    const found = table.find(parent, name);
    assert.equal(found, folders.get(name));
    if (found === undefined) {
      const id = table.add(parent, name);
      assert.ok(id > parent);
      names.set(id, name);
      parents.set(id, parent);
      folders.set(name, id);
      inside.set(id, new Map());
    } else if (inside.get(found)?.size === 0 && random() < 0.7) {
      table.remove(found);
      folders.delete(name);
      inside.delete(found);
      assert.equal(table.find(parent, name), undefined);
    }
  }
  const kept = Array.from({ length: table.length }, (_, id) => id).filter((id) => table.exists(id));
  assert.deepEqual(
    kept,
    [...inside.keys()].toSorted((a, b) => a - b),
  );
  assert.ok(kept.length < table.length && kept.length > 1000, `${kept.length} of ${table.length} are kept`);
});

test("a million folders of few different attributes take at most 45 bytes each, besides their names", () => {
  const { taken } = millionFolders(() => 1);
  assert.ok(taken < 1_000_000 * (45 + 8), `${taken} bytes`);
});

test("a million folders whose attributes all differ keep them, and take at most a hundred bytes each", () => {
  const { taken, attributes, table } = millionFolders((at) => at);
  assert.ok(taken < 1_000_000 * (100 + 16), `${taken} bytes`);
  for (let id = 1; id < table.length; id += 997)
    assert.deepEqual(attributes.get(table.get(id, "attributes")), numbersOf(id));
});

/** `attributesOf` tells by a folder's id which of many sets of attributes it gets. */
function millionFolders(attributesOf: (id: number) => number) {
  const before = process.memoryUsage().arrayBuffers;
  const table = new FolderTable();
  const attributes = new AttributeTable();
  let named = 0;
  for (let at = 1; at <= 1_000_000; at++) {
    const name = `a-name-of-some-length-${at}`;
    named += name.length;
    const id = table.add(Math.floor(at / 1000), name);
    table.set(id, "attributes", attributes.add(numbersOf(attributesOf(id))));
  }
  // The smaller tables of slots may not have been collected yet: up to eight bytes a row.
  const taken = process.memoryUsage().arrayBuffers - before - named;
  return { taken, attributes, table };
}

const numbersOf = (at: number) => ({
  mode: at % 2 === 0 ? 0o755 : 0o700,
  uid: at % 3 === 0 ? 2 ** 32 - 1 : at,
  gid: 1000,
  seconds: -(2 ** 40) + Math.floor(at / 2),
  nanoseconds: at % 5,
});
