import assert from "node:assert/strict";
import { existsSync, lstatSync, renameSync, symlinkSync, watch } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { Layer } from "../../src/rootfs/unpack.ts";
import {
  holding,
  layerOf,
  type Outside,
  testRefusing,
  testUnpacking,
  unpack,
  unpackBothWays,
  ways,
} from "../support/images/unpacking.ts";
import { fifo, file, folder, hardlink, symlink } from "../support/tar/members.ts";
import { type RawMember, rawTar } from "../support/tar/raw-tar.ts";

/** The path of the canary's namesake inside the root. */
const inside = (canary: string) => canary.slice(1);

testUnpacking([
  {
    what: "paths that climb out or are absolute stay inside",
    layers: ({ canary }) => [
      [file("../../x"), file("/abs"), file("a/../../y"), folder("../d"), file("../canary/victim", "mine")],
      [file(`${canary}/victim`, "mine"), symlink("../canary/s", "x"), fifo("/../p")],
    ],
    holds: ({ canary }) => ({
      abs: "/abs",
      "canary/s": "-> x",
      "canary/victim": "mine",
      d: "/",
      p: "fifo",
      [`${inside(canary)}/victim`]: "mine",
      x: "../../x",
      y: "a/../../y",
    }),
  },
  {
    what: "symlinks that lead out, absolute, by dots and in chains, stay inside, in one layer",
    layers: ({ canary }) => [
      [
        symlink("evil", canary),
        symlink("dots", "../canary"),
        symlink("chain", "evil"),
        file("evil/victim", "mine"),
        folder("dots/folder", { mode: 0o700 }),
        file("chain/three"),
      ],
    ],
    holds: ({ canary }) => ({
      "canary/folder": "/",
      chain: "-> evil",
      dots: "-> ../canary",
      evil: `-> ${canary}`,
      [`${inside(canary)}/three`]: "chain/three",
      [`${inside(canary)}/victim`]: "mine",
    }),
  },
  {
    what: "symlinks that lead out stay inside across layers, and when they are replaced",
    layers: ({ canary }) => [
      [symlink("a", "b"), symlink("b", "../../../../../../../.."), symlink("up", "a/..")],
      [file(`a${canary}/victim`, "mine"), file(`up${canary}/folder/inner`, "mine")],
      [symlink("a", canary), file("a/folder/inner", "newer")],
    ],
    holds: ({ canary }) => ({
      a: `-> ${canary}`,
      b: "-> ../../../../../../../..",
      [`${inside(canary)}/folder/inner`]: "newer",
      [`${inside(canary)}/victim`]: "mine",
      up: "-> a/..",
    }),
  },
  {
    what: "a symlink to the folder beside the root whose name begins like the root's stays inside",
    layers: ({ root }) => [
      [symlink("abs", `${root}-evil`), symlink("rel", "../rootfs-evil")],
      [file("abs/victim", "mine"), file("rel/victim", "mine"), hardlink("h", "rel/victim")],
    ],
    holds: ({ root }) => ({
      abs: `-> ${root}-evil`,
      h: "mine",
      rel: "-> ../rootfs-evil",
      "rootfs-evil/victim": "mine",
      [`${root.slice(1)}-evil/victim`]: "mine",
    }),
  },
  {
    what: "a symlink to nothing that is a file's folder gets that folder",
    layers: [[symlink("s", "not/there")], [file("s/x")]],
    holds: { "not/there/x": "s/x", s: "-> not/there" },
  },
  {
    what: "a hard link to a path outside is one to that path inside",
    layers: [
      [
        file("in"),
        hardlink("b", "../../in"),
        hardlink("c", "/in"),
        symlink("up", ".."),
        hardlink("d", "up/in"),
      ],
    ],
    holds: { in: "in", b: "in", c: "in", d: "in", up: "-> .." },
  },
  {
    what: "a hard link to a symlink is that symlink, which a later file replaces",
    layers: ({ canary }) => [
      [symlink("s", `${canary}/victim`), hardlink("h", "s"), hardlink("i", "s")],
      [file("h", "mine", { mode: 0o6777, uid: 5, gid: 6, xattrs: { "user.note": Buffer.from("mine") } })],
    ],
    holds: ({ canary }) => ({ h: "mine", i: `-> ${canary}/victim`, s: `-> ${canary}/victim` }),
  },
]);

testRefusing([
  {
    what: "symlinks in a circle",
    layers: [[symlink("a", "b"), symlink("b", "a"), file("a/x")]],
    message: /"a" goes through symlinks that lead in a circle/,
  },
  {
    what: "a symlink to itself in a whiteout's path",
    layers: [[symlink("a", "a")], [file("a/.wh.x")]],
    message: /lead in a circle/,
  },
  {
    what: "more symlinks on a way than Linux follows",
    layers: [[...Array.from({ length: 41 }, (_, at) => symlink(`s${at}`, `s${at + 1}`)), file("s0/x")]],
    message: /over 40 of them/,
  },
  ...[".", "./", "/", "", "a/.."].flatMap((path) => [
    {
      what: `a root that is a symlink, as ${JSON.stringify(path)}`,
      layers: ({ canary }: { canary: string }) => [[{ flag: "2", path, link: canary }, file("victim")]],
      message: /names the root itself/,
    },
    {
      what: `a root that is a file, as ${JSON.stringify(path)}`,
      layers: [[{ flag: "0", path }]],
      message: /names the root itself/,
    },
  ]),
  ...["../canary/victim", "/not/there", "evil/victim", "../rootfs-evil/victim"].map((target) => ({
    what: `a hard link to ${target}, which is only outside`,
    layers: ({ canary }: { canary: string }) => [[symlink("evil", canary), hardlink("h", target)]],
    message: /is a hard link to .*, which isn't there/,
  })),
  {
    what: "a hard link to an absolute path, which is only outside",
    layers: ({ canary }) => [[hardlink("h", `${canary}/victim`)]],
    message: /which isn't there/,
  },
]);

test("unpacking: an entry for the root, by any of its names, sets the root's attributes", async () => {
  for (const path of [".", "./", "/", "", "a/../"]) {
    const root = { flag: "5", path, mode: 0o1751, uid: 3, gid: 4, mtime: "1000" };
    await unpackBothWays([[root], [file("x")]], (unpacked) => {
      const { mode, uid, gid, mtimeMs } = lstatSync(unpacked.root);
      assert.deepEqual([mode & 0o7777, uid, gid, mtimeMs], [0o1751, 3, 4, 1_000_000], unpacked.way);
    });
  }
});

/** Resolves once a folder holds a name. */
async function appears(path: string, name: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = () => {
    if (existsSync(join(path, name))) resolve();
  };
  const watcher = watch(path, look);
  look();
  await promise.finally(() => watcher.close());
}

/** A layer whose bytes come once the one below is unpacked, its `ready` included, and `a` swapped for a symlink. */
function afterSwap(members: readonly RawMember[], { root, canary }: Outside): Layer {
  const tar = rawTar(members);
  async function* bytes() {
    await appears(root, "ready");
    renameSync(join(root, "a"), join(root, "moved"));
    symlinkSync(canary, join(root, "a"));
    yield tar;
  }
  return { ...layerOf(tar), open: async () => Readable.from(bytes()) };
}

for (const way of ways) {
  test(`a folder that somebody swaps for a symlink while unpacking ${way} isn't followed`, async () => {
    // More folders than are held open, so that a/b is opened anew.
    const others = Array.from({ length: 600 }, (_, at) => [folder(`d/${at}`), fifo(`d/${at}/x`)]);
    const first = [folder("a"), folder("a/b"), ...others.flat(), folder("ready")];
    const second = [file("a/folder/inner", "mine"), file("a/b/victim", "mine")];
    // That nothing outside is touched is seen in there.
    await using unpacked = await unpack((outside) => [first, afterSwap(second, outside)], way);
    assert.ok(unpacked.error instanceof Error, "the unpacking went on");
    assert.match(unpacked.error.message, /openat2? .*: (ELOOP|ENOTDIR)/);
  });

  test(`a folder held open that somebody swaps while unpacking ${way} gets its files where it is now`, async () => {
    const first = [folder("a"), file("a/x"), folder("ready")];
    const second = [file("a/victim", "mine")];
    await using unpacked = await unpack((outside) => [first, afterSwap(second, outside)], way);
    assert.equal(holding(unpacked.root)["moved/victim"], "mine");
  });
}
