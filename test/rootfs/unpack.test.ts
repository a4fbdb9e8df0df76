import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { UserError } from "../../src/host/errors.ts";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { type DiffId, digestOf } from "../../src/image/digest.ts";
import { type Layer, unpackRootfs } from "../../src/rootfs/unpack.ts";
import { createTestHost } from "../support/host.ts";
import { type Entry, packTar } from "../support/images.ts";

type Members = readonly Entry[];

const folder = (name: string, more: Partial<Entry> = {}): Entry => ({
  name: `${name}/`,
  type: "directory",
  mode: 0o755,
  ...more,
});
const file = (name: string, content = name, more: Partial<Entry> = {}): Entry => ({ name, content, ...more });
const symlink = (name: string, linkname: string): Entry => ({ name, type: "symlink", linkname });
const hardlink = (name: string, linkname: string): Entry => ({ name, type: "link", linkname });
const whiteout = (name: string): Entry => {
  const at = name.lastIndexOf("/") + 1;
  return { name: `${name.slice(0, at)}.wh.${name.slice(at)}` };
};
const opaque = (name: string): Entry => ({ name: `${name}/.wh..wh..opq` });

function layerOf(tar: Buffer, blob: Buffer = gzipSync(tar)): Layer {
  const mediaType = "application/vnd.oci.image.layer.v1.tar+gzip";
  return {
    descriptor: { mediaType, digest: digestOf(blob), size: blob.length },
    diffId: digestOf(tar) as DiffId,
    open: async () => Readable.from([blob]),
    file: undefined,
  };
}

interface Unpacked extends AsyncDisposable {
  readonly root: string;
  /** A folder beside the root that no layer may reach. */
  readonly canary: string;
  readonly error: unknown;
  readonly logged: string;
}

/** Unpacks layers, lower first, beside a canary that must stay as it is. */
async function unpack(...layers: readonly (Members | Layer)[]): Promise<Unpacked> {
  const place = await createPrivateFolder("test-unpack");
  const canary = join(place.path, "canary");
  mkdirSync(canary);
  writeFileSync(join(canary, "victim"), "untouched");
  const before = lstatSync(join(canary, "victim"));
  const host = createTestHost();
  const root = join(place.path, "rootfs");
  const made: Layer[] = [];
  for (const layer of layers) made.push("diffId" in layer ? layer : layerOf(await packTar(layer)));
  let error: unknown;
  try {
    await unpackRootfs({ layers: made, destination: root, host });
  } catch (thrown) {
    error = thrown;
  }
  const after = lstatSync(join(canary, "victim"));
  assert.equal(readFileSync(join(canary, "victim"), "utf8"), "untouched");
  assert.deepEqual(
    [after.mode, after.uid, after.nlink, after.mtimeMs],
    [before.mode, before.uid, before.nlink, before.mtimeMs],
  );
  assert.deepEqual(readdirSync(canary), ["victim"]);
  if (error !== undefined) assert.ok(!existsSync(root), "a failure leaves no destination");
  return {
    root,
    canary,
    error,
    logged: host.logged(),
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  };
}

interface Case {
  readonly what: string;
  readonly layers: readonly Members[];
  /** Content of files by path; a folder's names, sorted, as a list; undefined for what must not be there. */
  readonly holds: Readonly<Record<string, string | readonly string[] | undefined>>;
}

const cases: readonly Case[] = [
  {
    what: "a whiteout hides lower layers only, whether it comes before or after the new file",
    layers: [
      [file("etc/a", "old"), file("etc/b", "old")],
      [file("etc/a", "new"), whiteout("etc/a"), whiteout("etc/b"), file("etc/b", "new")],
    ],
    holds: { "etc/a": "new", "etc/b": "new", etc: ["a", "b"] },
  },
  {
    what: "an opaque folder hides lower content only, wherever its marker stands",
    layers: [
      [file("d/x"), file("d/sub/x")],
      [file("d/first"), opaque("d"), file("d/sub/new"), file("d/last")],
    ],
    holds: { d: ["first", "last", "sub"], "d/sub": ["new"] },
  },
  {
    what: "an opaque marker without an entry for a subfolder leaves what the layer has put there",
    layers: [[file("d/old")], [folder("d"), file("d/sub/x"), opaque("d")]],
    holds: { d: ["sub"], "d/sub/x": "d/sub/x" },
  },
  {
    what: "a whiteout of what doesn't exist does nothing",
    layers: [[file("a")], [whiteout("b"), whiteout("c/d"), opaque("e")]],
    holds: { ".": ["a"] },
  },
  {
    what: "a whiteout of one name of a file leaves its other names",
    layers: [[file("a"), hardlink("b", "a")], [whiteout("a")]],
    holds: { a: undefined, b: "a" },
  },
  {
    what: "the names that aufs reserved are not created",
    layers: [
      [
        { name: ".wh..wh.plnk/", type: "directory" },
        file(".wh..wh.plnk/1.2"),
        file(".wh..wh.aufs"),
        file("a"),
      ],
    ],
    holds: { ".": ["a"] },
  },
  {
    what: "whiteouts remove whole folders, symlinks and FIFOs, and not what symlinks lead to",
    layers: [
      [file("d/e/f"), file("target"), symlink("s", "target"), { name: "p", type: "fifo" }],
      [whiteout("d"), whiteout("s"), whiteout("p")],
    ],
    holds: { ".": ["target"], target: "target" },
  },
  {
    what: "types change: file to folder, full folder to file, FIFO to file, symlink to file",
    layers: [
      [file("a"), file("b/c"), { name: "c", type: "fifo" }, file("t"), symlink("d", "t")],
      [folder("a"), file("a/x"), file("b", "now a file"), file("c", "now a file"), file("d", "now a file")],
    ],
    holds: { "a/x": "a/x", b: "now a file", c: "now a file", d: "now a file", t: "t" },
  },
  {
    what: "a file that is somebody's folder becomes one",
    layers: [[file("p")], [file("p/q")]],
    holds: { p: ["q"] },
  },
  {
    what: "a folder over a symlink is a real folder; a file through a symlink lands behind it",
    layers: [
      [folder("usr/lib"), symlink("lib", "usr/lib"), folder("usr/bin"), symlink("bin", "usr/bin")],
      [folder("lib"), file("lib/x"), file("bin/x")],
    ],
    holds: { lib: ["x"], "usr/lib": [], "usr/bin/x": "bin/x" },
  },
  {
    what: "paths that climb out stay inside",
    layers: [[file("../../x"), file("/abs"), file("a/../../y")]],
    holds: { ".": ["abs", "x", "y"] },
  },
  {
    what: "symlinks that lead out, absolute, by dots and in chains, stay inside",
    layers: [
      [symlink("evil", "/canary"), symlink("dots", "../../canary"), symlink("chain", "evil")],
      [file("evil/one"), file("dots/two"), file("chain/three"), whiteout("evil/victim"), opaque("chain")],
    ],
    holds: { canary: ["one", "three", "two"] },
  },
  {
    what: "a hardlink leads to the file of a lower layer, and keeps the old content when that is replaced",
    layers: [[file("a", "old")], [hardlink("b", "a")], [file("a", "new")]],
    holds: { a: "new", b: "old" },
  },
  {
    what: "a hardlink to a path outside is one to that path inside",
    layers: [[file("in"), hardlink("b", "../../in"), hardlink("c", "/in")]],
    holds: { b: "in", c: "in" },
  },
  {
    what: "a hardlink to a symlink is the symlink, which a later file replaces",
    layers: [[symlink("s", "/canary/victim"), hardlink("h", "s")], [file("h", "mine")]],
    holds: { h: "mine" },
  },
  {
    what: "of two entries of one name the last wins",
    layers: [[file("a", "1"), file("a", "2")]],
    holds: { a: "2" },
  },
  {
    what: "names may be odd: long, with line breaks and leading dashes, not UTF-8",
    layers: [[file("-rf"), file("line\nbreak"), file(`${"n".repeat(200)}/${"m".repeat(200)}`)]],
    holds: { "-rf": "-rf", "line\nbreak": "line\nbreak" },
  },
];

for (const { what, layers, holds } of cases) {
  test(`unpacking: ${what}`, async () => {
    await using unpacked = await unpack(...layers);
    assert.equal(unpacked.error, undefined);
    for (const [name, expected] of Object.entries(holds)) {
      const path = join(unpacked.root, name);
      if (expected === undefined) assert.ok(!existsSync(path), name);
      else if (typeof expected === "string") assert.equal(readFileSync(path, "utf8"), expected, name);
      else {
        assert.ok(lstatSync(path).isDirectory(), name);
        assert.deepEqual(readdirSync(path).toSorted(), expected, name);
      }
    }
  });
}

const refusedLayers: readonly { what: string; layers: readonly Members[]; message: RegExp }[] = [
  { what: "a whiteout of no name", layers: [[{ name: "d/.wh." }]], message: /hides no name/ },
  { what: "a whiteout of the folder itself", layers: [[{ name: ".wh.." }]], message: /hides no name/ },
  { what: "a whiteout of the folder above", layers: [[{ name: "d/.wh..." }]], message: /hides no name/ },
  { what: "a name below a whiteout", layers: [[file("d/.wh.x/y")]], message: /below a whiteout/ },
  { what: "a root that is a file", layers: [[file(".")]], message: /names the root itself/ },
  {
    what: "a root that is a symlink",
    layers: [[symlink("./", "/canary")]],
    message: /names the root itself/,
  },
  {
    what: "symlinks in a circle",
    layers: [[symlink("a", "b"), symlink("b", "a"), file("a/x")]],
    message: /lead in a circle/,
  },
  { what: "a hardlink before its target", layers: [[hardlink("b", "a"), file("a")]], message: /isn't there/ },
  {
    what: "a hardlink to a folder",
    layers: [[folder("d"), hardlink("b", "d")]],
    message: /hard link to a folder/,
  },
  { what: "a hardlink to itself", layers: [[file("a"), hardlink("a", "a")]], message: /hard link to itself/ },
];

for (const { what, layers, message } of refusedLayers) {
  test(`unpacking refuses ${what}`, async () => {
    await using unpacked = await unpack(...layers);
    assert.ok(unpacked.error instanceof UserError, String(unpacked.error));
    assert.match(unpacked.error.message, message);
  });
}

test("unpacking keeps modes, owners and times, of folders after their children came", async () => {
  const mtime = new Date("2001-02-03T04:05:06Z");
  await using unpacked = await unpack(
    [folder(".", { mode: 0o751, uid: 3, gid: 4, mtime }), folder("d", { mode: 0o200, mtime })],
    [file("d/setuid", "x", { mode: 0o6755, uid: 1000, mtime, pax: { gid: "3000000" } })],
  );
  assert.equal(unpacked.error, undefined);
  const of = (name: string) => {
    const { mode, uid, gid, mtimeMs } = lstatSync(join(unpacked.root, name));
    return [(mode & 0o7777).toString(8), uid, gid, mtimeMs];
  };
  assert.deepEqual(of("."), ["751", 3, 4, mtime.getTime()]);
  assert.deepEqual(of("d"), ["200", 0, 0, mtime.getTime()]);
  assert.deepEqual(of("d/setuid"), ["6755", 1000, 3_000_000, mtime.getTime()]);
});

test("unpacking keeps fractions of seconds, times before 1970, and those of symlinks", async () => {
  await using unpacked = await unpack([
    file("f", "", { pax: { mtime: "1700000000.123456789" } }),
    file("old", "", { pax: { mtime: "-1.5" } }),
    { ...symlink("s", "/nowhere"), pax: { mtime: "1600000000.5" } },
  ]);
  assert.equal(unpacked.error, undefined);
  const time = (name: string) => lstatSync(join(unpacked.root, name), { bigint: true }).mtimeNs;
  assert.equal(time("f"), 1_700_000_000_123_456_789n);
  assert.equal(time("old"), -1_500_000_000n);
  assert.equal(time("s"), 1_600_000_000_500_000_000n);
  assert.equal(readlinkSync(join(unpacked.root, "s")), "/nowhere");
});

test("unpacking makes devices and FIFOs, and hard links of one inode", async () => {
  await using unpacked = await unpack([
    { name: "null", type: "character-device", devmajor: 1, devminor: 3, mode: 0o666 },
    { name: "pipe", type: "fifo" },
    file("a"),
    hardlink("b", "a"),
  ]);
  assert.equal(unpacked.error, undefined);
  const device = statSync(join(unpacked.root, "null"));
  assert.ok(device.isCharacterDevice());
  assert.equal(device.rdev, (1 << 8) | 3);
  assert.ok(lstatSync(join(unpacked.root, "pipe")).isFIFO());
  assert.equal(lstatSync(join(unpacked.root, "a")).ino, lstatSync(join(unpacked.root, "b")).ino);
});

test("unpacking reads gzip, several members of it, zstd and plain archives, whatever their type says", async () => {
  const tar = await packTar([file("a", "content")]);
  const half = Math.floor(tar.length / 2);
  const blobs = [
    gzipSync(tar),
    Buffer.concat([gzipSync(tar.subarray(0, half)), gzipSync(tar.subarray(half))]),
    zstdCompressSync(tar),
    tar,
  ];
  for (const blob of blobs) {
    await using unpacked = await unpack(layerOf(tar, blob));
    assert.equal(unpacked.error, undefined);
    assert.equal(readFileSync(join(unpacked.root, "a"), "utf8"), "content");
  }
});

test("a layer that isn't what its digests say is refused", async () => {
  const tar = await packTar([file("a", "content")]);
  const good = layerOf(tar);
  const other = gzipSync(await packTar([file("a", "other")]));
  const damaged: readonly (readonly [Layer, RegExp])[] = [
    [{ ...good, open: async () => Readable.from([other.subarray(0, 20)]) }, /ends after 20 of its/],
    [{ ...good, descriptor: { ...good.descriptor, digest: digestOf(other) } }, /its bytes have digest/],
    [{ ...good, diffId: digestOf(other) as DiffId }, /the image's config says/],
    [layerOf(tar, gzipSync(tar).subarray(0, -10)), /can't be decompressed/],
    [layerOf(tar.subarray(0, 514)), /no whole tar archive/],
  ];
  for (const [layer, message] of damaged) {
    await using unpacked = await unpack(layer);
    assert.ok(unpacked.error instanceof UserError, String(unpacked.error));
    assert.match(unpacked.error.message, message);
  }
});

test("an abort in the middle ends the unpacking and removes what is there", async () => {
  await using place = await createPrivateFolder("test-unpack");
  const host = createTestHost();
  const layer = layerOf(await packTar([file("a")]));
  const opened: Layer = {
    ...layer,
    open: async () => {
      host.abort();
      return new Readable({ read() {} });
    },
  };
  const root = join(place.path, "rootfs");
  const unpacking = unpackRootfs({ layers: [opened], destination: root, host });
  await assert.rejects(unpacking, { name: "AbortError" });
  assert.ok(!existsSync(root));
});
