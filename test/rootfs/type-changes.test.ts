import assert from "node:assert/strict";
import { test } from "node:test";
import { testUnpacking, unpackBothWays } from "../support/images/unpacking.ts";
import { fifo, file, folder, symlink } from "../support/tar/members.ts";
import { readTree } from "../support/tar/trees.ts";

testUnpacking([
  {
    what: "files become folders",
    layers: [
      [file("a"), file("b")],
      [folder("a"), file("a/x"), folder("b")],
    ],
    holds: { "a/x": "a/x", b: "/" },
  },
  {
    what: "a full folder becomes a file",
    layers: [[file("b/c/d"), file("b/e")], [file("b", "now a file")]],
    holds: { b: "now a file" },
  },
  {
    what: "a FIFO becomes a file, and is not opened",
    layers: [[fifo("c")], [file("c", "now a file")]],
    holds: { c: "now a file" },
  },
  {
    what: "a symlink becomes a file, and its target stays",
    layers: ({ canary }) => [
      [file("t"), symlink("in", "t"), symlink("out", `${canary}/victim`)],
      [file("in", "now a file"), file("out", "now a file")],
    ],
    holds: { t: "t", in: "now a file", out: "now a file" },
  },
  {
    what: "files and folders become symlinks and FIFOs",
    layers: [
      [file("a"), file("b/c"), file("d"), file("e/f")],
      [symlink("a", "b"), fifo("b"), fifo("d"), symlink("e", "/")],
    ],
    holds: { a: "-> b", b: "fifo", d: "fifo", e: "-> /" },
  },
  {
    what: "a file that is the folder of another one becomes a folder",
    layers: [
      [file("p"), fifo("f")],
      [file("p/q"), file("f/q")],
    ],
    holds: { "p/q": "p/q", "f/q": "f/q" },
  },
  {
    what: "a folder over a symlink is a folder of its own",
    layers: ({ canary }) => [
      [folder("usr/lib"), symlink("lib", "usr/lib"), symlink("out", canary)],
      [folder("lib"), file("lib/x"), folder("out"), file("out/victim", "mine")],
    ],
    holds: { "lib/x": "lib/x", "usr/lib": "/", "out/victim": "mine" },
  },
  {
    what: "a file through a symlink lands behind it, and the symlink stays",
    layers: [
      [folder("usr/lib"), symlink("lib", "usr/lib")],
      [file("lib/x"), folder("lib/d")],
    ],
    holds: { lib: "-> usr/lib", "usr/lib/d": "/", "usr/lib/x": "lib/x" },
  },
  {
    what: "of several entries of one name the last wins",
    layers: [
      [
        file("a", "1"),
        file("a", "2"),
        file("b"),
        symlink("b", "a"),
        file("c/x"),
        file("c", "3"),
        file("a", "4"),
      ],
    ],
    holds: { a: "4", b: "-> a", c: "3" },
  },
]);

test("unpacking: a folder over a folder replaces its attributes and keeps what is in it", async () => {
  const note = { "user.old": Buffer.from("old"), "user.both": Buffer.from("old") };
  const later = { "user.new": Buffer.from("new"), "user.both": Buffer.from("new") };
  const layers = [
    [folder("d", { mode: 0o700, uid: 1, gid: 2, mtime: "1000", xattrs: note }), file("d/x")],
    [folder("d", { mode: 0o1775, uid: 3, gid: 4, mtime: "2000", xattrs: later }), file("d/y")],
  ];
  await unpackBothWays(layers, ({ root }) => {
    const tree = readTree(root);
    assert.deepEqual([...tree.keys()], [".", "d", "d/x", "d/y"]);
    assert.deepEqual(tree.get("d"), {
      type: "folder",
      mode: "1775",
      uid: 3,
      gid: 4,
      mtime: 2_000_000_000_000n,
      xattrs: {
        "user.both": Buffer.from("new").toString("hex"),
        "user.new": Buffer.from("new").toString("hex"),
      },
    });
  });
});

test("unpacking: a folder that is a file for a while comes back without its old attributes", async () => {
  const xattrs = { "user.old": Buffer.from("old") };
  const layers = [[folder("d", { mode: 0o700, mtime: "1000", xattrs })], [file("d")], [file("d/x")]];
  await unpackBothWays(layers, ({ root }) => {
    const { mode, mtime, xattrs: left } = readTree(root).get("d") ?? assert.fail("d is missing");
    assert.deepEqual([mode, mtime, left], ["755", 0n, {}]);
  });
});
