import assert from "node:assert/strict";
import { chmodSync, chownSync, lstatSync, mkdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { unpackRootfs } from "../../src/rootfs/unpack.ts";
import { layerOf, testRefusing, unpackBothWays } from "../support/images/unpacking.ts";
import { createTestStep } from "../support/runs/test-step.ts";
import { fifo, file, folder, hardlink, symlink } from "../support/tar/members.ts";
import { base256, endOfArchive, rawHeader, rawTar } from "../support/tar/raw-tar.ts";
import { readTree } from "../support/tar/trees.ts";

/** Mode, owner and time of a file, a link itself. */
function attributesOf(root: string, name: string): (string | number | bigint)[] {
  const { mode, uid, gid, mtimeNs } = lstatSync(join(root, name), { bigint: true });
  return [(mode & 0o7777n).toString(8), Number(uid), Number(gid), mtimeNs];
}

test("unpacking: setuid, setgid and sticky bits survive the change of owner", async () => {
  const owned = { mode: 0o6755, uid: 1000, gid: 2000 };
  const layers = [
    [file("small", "x", owned), file("large", "x".repeat(200_000), owned), fifo("fifo", owned)],
    [folder("d", { ...owned, mode: 0o7777 }), file("d/x"), file("root's", "x", { mode: 0o4711 })],
  ];
  await unpackBothWays(layers, ({ root }) => {
    for (const name of ["small", "large", "fifo"]) {
      assert.deepEqual(attributesOf(root, name), ["6755", 1000, 2000, 0n], name);
    }
    assert.deepEqual(attributesOf(root, "d"), ["7777", 1000, 2000, 0n]);
    assert.deepEqual(attributesOf(root, "d/x"), ["644", 0, 0, 0n]);
    assert.deepEqual(attributesOf(root, "root's"), ["4711", 0, 0, 0n]);
  });
});

test("unpacking: folders keep their modes and times though children come after them, in upper layers too", async () => {
  const layers = [
    [
      folder("closed", { mode: 0, mtime: "1000" }),
      file("closed/x"),
      folder("d", { mode: 0o200, mtime: "2000" }),
      file("d/x"),
    ],
    [file("closed/y", "y".repeat(200_000)), file("d/z"), hardlink("d/w", "closed/x"), symlink("d/s", "x")],
    [{ flag: "0", path: "d/.wh.x" }],
  ];
  await unpackBothWays(layers, ({ root }) => {
    assert.deepEqual(attributesOf(root, "closed"), ["0", 0, 0, 1_000_000_000_000n]);
    assert.deepEqual(attributesOf(root, "d"), ["200", 0, 0, 2_000_000_000_000n]);
    assert.deepEqual(attributesOf(root, "."), ["755", 0, 0, 0n]);
  });
});

test("unpacking: folders that no layer names are root's, open to all, and as old as can be", async () => {
  await unpackBothWays([[file("a/b/c")]], ({ root }) => {
    for (const name of ["a", "a/b", "."]) assert.deepEqual(attributesOf(root, name), ["755", 0, 0, 0n], name);
  });
});

test("unpacking: times have fractions, are before 1970 and after 2106, and symlinks have their own", async () => {
  const layers = [
    [
      file("f", "", { mtime: "1700000000.123456789" }),
      file("finer", "", { mtime: "1700000000.1234567899" }),
      file("old", "", { mtime: "-1.5" }),
      folder("older", { mtime: "-1000" }),
      file("late", "x".repeat(200_000), { mtime: "5000000000.25" }),
      symlink("s", "/nowhere", { mtime: "1600000000.5", uid: 7, gid: 8 }),
      fifo("p", { mtime: "-0.25" }),
    ],
  ];
  await unpackBothWays(layers, ({ root }) => {
    const time = (name: string) => lstatSync(join(root, name), { bigint: true }).mtimeNs;
    assert.equal(time("f"), 1_700_000_000_123_456_789n);
    assert.equal(time("finer"), 1_700_000_000_123_456_789n);
    assert.equal(time("old"), -1_500_000_000n);
    assert.equal(time("older"), -1_000_000_000_000n);
    assert.equal(time("late"), 5_000_000_000_250_000_000n);
    assert.equal(time("p"), -250_000_000n);
    assert.deepEqual(attributesOf(root, "s"), ["777", 7, 8, 1_600_000_000_500_000_000n]);
    assert.equal(readlinkSync(join(root, "s")), "/nowhere");
  });
});

test("unpacking: an access time that the archive has is set, else the modification time is", async () => {
  const layers = [
    [file("a", "", { mtime: "2000", pax: { atime: "1000.5" } }), file("b", "", { mtime: "2000" })],
  ];
  await unpackBothWays(layers, ({ root }) => {
    const time = (name: string) => lstatSync(join(root, name), { bigint: true }).atimeNs;
    assert.deepEqual([time("a"), time("b")], [1_000_500_000_000n, 2_000_000_000_000n]);
  });
});

test("unpacking: owners over 2^21 are read, from PAX records and from base-256", async () => {
  const largest = 2 ** 32 - 2;
  const fields = { uid: base256(3_000_000_000n, 8), gid: base256(BigInt(largest), 8) };
  const byBase256 = Buffer.concat([rawHeader({ flag: "0", path: "base" }, fields), endOfArchive]);
  const layers = [
    byBase256,
    [file("pax", "", { uid: 3_000_000, gid: largest }), symlink("link", "x", { uid: 3_000_000_000 })],
  ];
  await unpackBothWays(layers, ({ root }) => {
    assert.deepEqual(attributesOf(root, "base").slice(1, 3), [3_000_000_000, largest]);
    assert.deepEqual(attributesOf(root, "pax").slice(1, 3), [3_000_000, largest]);
    assert.deepEqual(attributesOf(root, "link").slice(1, 3), [3_000_000_000, 0]);
  });
});

testRefusing([
  {
    what: "the owner that means no change",
    layers: [[file("a", "", { uid: 2 ** 32 - 1 })]],
    message: /owner 4294967295/,
  },
  { what: "an owner over 32 bits", layers: [[folder("a", { gid: 2 ** 32 })]], message: /owner 4294967296/ },
  {
    what: "an owner of the root that is over 32 bits",
    layers: [[folder(".", { uid: 2 ** 32 + 5 })]],
    message: /owner 4294967301/,
  },
  { what: "a negative owner", layers: [[symlink("a", "b", { pax: { uid: "-1" } })]], message: /owner -1/ },
  {
    what: "a device number that Linux doesn't have",
    layers: [[{ flag: "3", path: "a", device: [4096, 0] }]],
    message: /device 4096:0/,
  },
]);

test("unpacking makes devices and FIFOs with their numbers, modes, owners and times", async () => {
  const attributes = { mode: 0o666, uid: 1, gid: 5, mtime: "1000" };
  const layers = [
    [
      { flag: "3", path: "null", device: [1, 3], ...attributes } as const,
      { flag: "4", path: "disk", device: [259, 70_000], ...attributes } as const,
      fifo("pipe", attributes),
    ],
  ];
  await unpackBothWays(layers, ({ root, logged }) => {
    const tree = readTree(root);
    const common = { mode: "666", uid: 1, gid: 5, mtime: 1_000_000_000_000n, xattrs: {} };
    assert.deepEqual(tree.get("null"), { ...common, type: "character device", device: "1:3" });
    assert.deepEqual(tree.get("disk"), { ...common, type: "block device", device: "259:70000" });
    assert.deepEqual(tree.get("pipe"), { ...common, type: "fifo" });
    assert.doesNotMatch(logged, /warning/);
  });
});

test("a FIFO is made whatever device number its header has, for that means nothing", async () => {
  const layers = [[{ flag: "6", path: "pipe", device: [4096, 2 ** 20] } as const]];
  await unpackBothWays(layers, ({ root }) => assert.equal(readTree(root).get("pipe")?.type, "fifo"));
});

/** `u::rwx,u:7:rwx,g::rwx,m::rwx,o::rwx` (linux/posix_acl_xattr.h): little-endian version, then tag, bits and id each. */
const rulesForAll = `02000000${[0x01, 0x02, 0x04, 0x10, 0x20]
  .map((tag) => `${tag.toString(16).padStart(2, "0")}000700${tag === 0x02 ? "07000000" : "ffffffff"}`)
  .join("")}`;

test("a folder whose group and rules new files inherit changes nothing in what is unpacked into it", async () => {
  await using place = await createPrivateFolder("test-inherited");
  const parent = join(place.path, "parent");
  mkdirSync(parent);
  chownSync(parent, 0, 5);
  chmodSync(parent, 0o2775);
  await execa("setfattr", ["--name=system.posix_acl_default", `--value=0x${rulesForAll}`, parent]);
  const root = join(parent, "rootfs");
  const layers = [layerOf(rawTar([folder("d"), file("d/a"), file("b")]))];
  await unpackRootfs({ layers, destination: root, step: createTestStep() });
  for (const [path, { mode, uid, gid, xattrs }] of readTree(root)) {
    assert.deepEqual(
      [mode.slice(-3), uid, gid, xattrs],
      [/[ab]$/.test(path) ? "644" : "755", 0, 0, {}],
      path,
    );
  }
});
