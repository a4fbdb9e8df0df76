import assert from "node:assert/strict";
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { testRefusing, testUnpacking, unpackBothWays } from "../support/images/unpacking.ts";
import { fifo, file, folder, hardlink, symlink, whiteout } from "../support/tar/members.ts";

testUnpacking([
  {
    what: "a hard link keeps the old content when a later layer replaces the file that it was made of",
    layers: [[file("a", "old"), hardlink("b", "a")], [file("a", "new")]],
    holds: { a: "new", b: "old" },
  },
  {
    what: "a hard link to a file of a lower layer keeps its content when that is replaced or hidden",
    layers: [
      [file("a", "old"), file("c", "old")],
      [hardlink("b", "a"), hardlink("d", "c")],
      [file("a", "new"), whiteout("c")],
    ],
    holds: { a: "new", b: "old", d: "old" },
  },
  {
    what: "a hard link replaces what has its name",
    layers: [
      [file("a"), file("b", "old"), file("c/x"), symlink("d", "a")],
      [hardlink("b", "a"), hardlink("c", "a"), hardlink("d", "a")],
    ],
    holds: { a: "a", b: "a", c: "a", d: "a" },
  },
]);

test("unpacking: hard links, to files of the same layer and of lower ones, are one inode", async () => {
  const layers = [
    [file("a"), hardlink("b", "a"), fifo("p"), hardlink("q", "p"), symlink("s", "a"), hardlink("t", "s")],
    [hardlink("d/c", "b"), file("large", "x".repeat(200_000)), hardlink("e", "large")],
  ];
  await unpackBothWays(layers, ({ root }) => {
    const inode = (name: string) => {
      const { ino, nlink } = lstatSync(join(root, name));
      return [ino, nlink];
    };
    const [a] = inode("a");
    for (const name of ["a", "b", "d/c"]) assert.deepEqual(inode(name), [a, 3], name);
    for (const [one, other] of [
      ["p", "q"],
      ["s", "t"],
      ["large", "e"],
    ] as const) {
      assert.deepEqual(inode(one), inode(other), one);
    }
  });
});

test("unpacking: a file whose other name was hidden has one link", async () => {
  await unpackBothWays([[file("a"), hardlink("b", "a")], [whiteout("a")]], ({ root }) => {
    assert.equal(lstatSync(join(root, "b")).nlink, 1);
  });
});

testRefusing([
  {
    what: "a hard link before its target",
    layers: [[hardlink("b", "a"), file("a")]],
    message: /"a", which isn't there/,
  },
  {
    what: "a hard link to a folder",
    layers: [[folder("d"), hardlink("b", "d")]],
    message: /hard link to a folder/,
  },
  { what: "a hard link to the root", layers: [[hardlink("b", "/")]], message: /hard link to the root/ },
  {
    what: "a hard link to itself",
    layers: [[file("a"), hardlink("a", "a")]],
    message: /hard link to itself/,
  },
  {
    what: "a hard link to itself by another path",
    layers: [[folder("d"), file("d/a"), symlink("s", "d")], [hardlink("s/a", "d/a")]],
    message: /hard link to itself/,
  },
  {
    what: "a hard link below the file that it links to",
    layers: [[file("a")], [hardlink("a/b", "a")]],
    message: /lies below the file it links to/,
  },
  {
    what: "a hard link in place of the folder that its target is in",
    layers: [[file("d/e/f")], [hardlink("d", "d/e/f")]],
    message: /replaces the folder of the file it links to/,
  },
  {
    what: "a hard link to a file that a lower layer's whiteout has hidden",
    layers: [[file("a")], [whiteout("a")], [hardlink("b", "a")]],
    message: /"a", which isn't there/,
  },
]);
