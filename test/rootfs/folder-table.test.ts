import assert from "node:assert/strict";
import { test } from "node:test";
import { AttributeTable } from "../../src/rootfs/attribute-table.ts";
import { FolderTable } from "../../src/rootfs/folder-table.ts";
import { TreeModel } from "../../src/rootfs/tree-model.ts";
import { randomFrom } from "../support/runs/random.ts";

test("a table finds each folder by parent and name, and forgets what is removed", () => {
  const random = randomFrom(7);
  const table = new FolderTable();
  const names = new Map<number, string>([[0, ""]]);
  const inside = new Map<number, Map<string, number>>([[0, new Map()]]);
  for (let step = 0; step < 60_000; step++) {
    const ids = [...(step % 1000 === 0 ? inside.keys() : [])];
    for (const id of ids) {
      assert.equal(table.name(id), names.get(id));
      for (const [name, below] of inside.get(id) ?? []) assert.equal(table.find(id, name), below);
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

test("a million folders of few different attributes take at most 31 bytes each, besides their names", () => {
  const { taken } = millionFolders(() => 1);
  assert.ok(taken < 1_000_000 * 31, `${taken} bytes`);
});

test("a million folders whose attributes all differ keep them, and take at most 80 bytes each", () => {
  const { taken, attributes, table } = millionFolders((at) => at);
  assert.ok(taken < 1_000_000 * 80, `${taken} bytes`);
  for (let id = 1; id < table.length; id += 997)
    assert.deepEqual(attributes.get(table.get(id, "attributes")), numbersOf(id));
});

test("a set of attributes is kept as long as it has users, and its room is used again", () => {
  const random = randomFrom(11);
  const table = new AttributeTable();
  const before = process.memoryUsage().arrayBuffers;
  const users: { readonly at: number; readonly row: number }[] = [];
  for (let step = 0; step < 300_000; step++) {
    if (users.length > 0 && random() < users.length / 1000) {
      const [{ at, row } = { at: 0, row: 0 }] = users.splice(Math.floor(random() * users.length), 1);
      assert.deepEqual(table.get(row), numbersOf(at));
      table.remove(row);
    } else {
      // Old sets come again, and each step brings new ones.
      const at = random() < 0.5 ? step : Math.floor(random() * 300);
      users.push({ at, row: table.add(numbersOf(at)) });
    }
  }
  const rows = new Map<string, number>();
  for (const { at, row } of users) {
    assert.deepEqual(table.get(row), numbersOf(at));
    const key = JSON.stringify(numbersOf(at));
    assert.equal(rows.get(key) ?? row, row, "a set has two rows");
    rows.set(key, row);
  }
  const taken = process.memoryUsage().arrayBuffers - before;
  assert.ok(taken < 100_000, `${taken} bytes`);
});

test("a folder whose attributes change again and again takes no more memory, and neither do folders that go", () => {
  const model = new TreeModel(
    () => undefined,
    () => {},
  );
  model.startLayer(0);
  const kept = model.putFolder(model.root, "kept");
  const before = process.memoryUsage().arrayBuffers;
  for (let at = 1; at <= 100_000; at++) {
    kept.attributes = { ...numbersOf(at), xattrs: undefined };
    const replaced = model.putFolder(kept, "replaced");
    replaced.attributes = { ...numbersOf(at + 1_000_000), xattrs: undefined };
    model.removeFolder(replaced);
  }
  assert.deepEqual(kept.attributes, { ...numbersOf(100_000), xattrs: undefined });
  // A folder's row and its name stay: 29 bytes.
  const taken = process.memoryUsage().arrayBuffers - before;
  assert.ok(taken < 100_000 * 29 + 2_000_000, `${taken} bytes`);
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
