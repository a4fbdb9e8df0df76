import assert from "node:assert/strict";
import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { testRefusing, testUnpacking, unpackBothWays } from "../../support/images/unpacking.ts";
import { file, hardlink, symlink } from "../../support/tar/members.ts";
import {
  base256,
  endOfArchive,
  extension,
  padded,
  paxRecord,
  rawHeader,
  rawMember,
  rawTar,
} from "../../support/tar/raw-tar.ts";

const archive = (...parts: readonly Buffer[]) => Buffer.concat([...parts, endOfArchive]);
const pax = (...records: readonly (readonly [string, string])[]) =>
  extension("x", Buffer.concat(records.map(([key, value]) => paxRecord(key, value))));
const long = (flag: "K" | "L", name: string) => extension(flag, Buffer.from(`${name}\0`, "latin1"));
const plain = (name: string, more = {}) => rawMember(file(name, name, more));
/** The numbers of a v7 header only: nothing from the magic on. */
const v7 = { magic: "\0".repeat(8), devMajor: "\0".repeat(8), devMinor: "\0".repeat(8) };

testUnpacking([
  {
    what: "a PAX size counts, not the header's",
    layers: [
      archive(
        pax(["size", "700"]),
        rawHeader({ flag: "0", path: "a", size: 5 }),
        padded(Buffer.alloc(700, "a")),
        plain("b"),
      ),
    ],
    holds: { a: "a".repeat(60), b: "b" },
  },
  {
    what: "PAX names and GNU's long names that agree",
    layers: [
      archive(pax(["path", "a"]), long("L", "a"), plain("x"), long("L", "b"), pax(["path", "b"]), plain("y")),
    ],
    holds: { a: "x", b: "y" },
  },
  {
    what: "GNU's long names and long targets",
    layers: [
      archive(
        long("L", `d/${"n".repeat(200)}`),
        plain("cut"),
        long("K", "t".repeat(150)),
        rawMember(symlink("s", "cut")),
      ),
    ],
    holds: { [`d/${"n".repeat(200)}`]: "cut", s: `-> ${"t".repeat(150)}` },
  },
  {
    what: "names of 100, 101 and 255 bytes, and a longer path",
    layers: [
      ["n".repeat(100), "n".repeat(101), "n".repeat(255), `${"d/".repeat(600)}x`].map((name) =>
        file(name, "x"),
      ),
    ],
    holds: {
      [`${"d/".repeat(600)}x`]: "x",
      ["n".repeat(100)]: "x",
      ["n".repeat(101)]: "x",
      ["n".repeat(255)]: "x",
    },
  },
  {
    what: "names with line breaks, backslashes, leading dashes, blanks, and bytes that are no UTF-8",
    layers: [
      [
        file("-rf"),
        file("line\nbreak"),
        file("back\\slash"),
        file("\u00ff\u0080/\u00fe"),
        file(" blank "),
        symlink("s", "\u00ff\n"),
      ],
    ],
    holds: {
      " blank ": " blank ",
      "-rf": "-rf",
      "back\\x5cslash": "back\\slash",
      "line\\x0abreak": "line\nbreak",
      "\\xff\\x80/\\xfe": "\u00ff\u0080/\u00fe",
      s: "-> \\xff\\x0a",
    },
  },
  {
    what: "a name in a header's prefix",
    layers: [archive(rawHeader({ flag: "0", path: "name" }, { prefix: "in/a/prefix" }))],
    holds: { "in/a/prefix/name": "" },
  },
  {
    what: "a size on links and folders, which have no body",
    layers: [
      archive(
        plain("a"),
        rawHeader({ flag: "5", path: "d/", size: 5000 }),
        rawHeader({ flag: "2", path: "s", link: "a", size: 5000 }),
        rawHeader({ flag: "1", path: "h", link: "a", size: 5000 }),
        plain("b"),
      ),
    ],
    holds: { a: "a", b: "b", d: "/", h: "a", s: "-> a" },
  },
  {
    what: "nothing of what comes after the end",
    layers: [archive(plain("a"), endOfArchive, plain("b"), Buffer.from("garbage"))],
    holds: { a: "a" },
  },
  {
    what: "an archive without its end, or with half of it, or empty",
    layers: [plain("a"), Buffer.concat([plain("b"), Buffer.alloc(512)]), Buffer.alloc(0)],
    holds: { a: "a", b: "b" },
  },
  {
    what: "headers of v7, where a folder is a name with a slash",
    layers: [
      archive(
        rawHeader({ flag: "\0", path: "old", size: 3 }, v7),
        padded(Buffer.from("old")),
        rawHeader({ flag: "\0", path: "folder/" }, v7),
        rawHeader({ flag: "1", path: "hard", link: "old" }, v7),
        rawHeader({ flag: "2", path: "soft", link: "old" }, v7),
      ),
    ],
    holds: { folder: "/", hard: "old", old: "old", soft: "-> old" },
  },
  {
    what: "numbers in base-256",
    layers: [
      archive(rawHeader({ flag: "0", path: "a" }, { size: base256(3n, 12) }), padded(Buffer.from("abc"))),
    ],
    holds: { a: "abc" },
  },
  {
    what: "contiguous files, and global headers, which say nothing of what follows",
    layers: [
      archive(
        extension("g", Buffer.concat([paxRecord("path", "other"), paxRecord("comment", "x")])),
        rawMember({ ...file("a"), flag: "7" }),
      ),
    ],
    holds: { a: "a" },
  },
]);

const sparsePax = {
  "0.0": [
    ["GNU.sparse.size", "100000"],
    ["GNU.sparse.numblocks", "2"],
    ["GNU.sparse.offset", "1000"],
    ["GNU.sparse.numbytes", "3"],
    ["GNU.sparse.offset", "99000"],
    ["GNU.sparse.numbytes", "3"],
  ],
  "0.1": [
    ["GNU.sparse.size", "100000"],
    ["GNU.sparse.numblocks", "2"],
    ["GNU.sparse.map", "1000,3,99000,3"],
  ],
  "1.0": [
    ["GNU.sparse.major", "1"],
    ["GNU.sparse.minor", "0"],
    ["GNU.sparse.realsize", "100000"],
  ],
} as const;

const expanded = Buffer.alloc(100_000);
expanded.write("abc", 1000);
expanded.write("def", 99_000);

for (const [version, records] of Object.entries(sparsePax)) {
  test(`unpacking: a sparse file of GNU's PAX format ${version} has its holes`, async () => {
    const map = version === "1.0" ? padded(Buffer.from("2\n1000\n3\n99000\n3\n")) : Buffer.alloc(0);
    const content = Buffer.concat([map, Buffer.from("abcdef")]);
    await assertExpanded(
      archive(pax(...records, ["GNU.sparse.name", "sparse"]), rawMember({ flag: "0", path: "x", content })),
    );
  });
}

const octal = (value: number) => `${value.toString(8).padStart(11, "0")}\0`;

test("unpacking: a sparse file of GNU's old format has its holes", async () => {
  const header = Buffer.from(rawHeader({ flag: "S", path: "sparse", size: 6 }, { magic: "ustar  \0" }));
  [1000, 3, 99_000, 3].forEach((value, at) => void header.write(octal(value), 386 + 12 * at, "latin1"));
  header.write(octal(100_000), 483, "latin1");
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  await assertExpanded(archive(header, padded(Buffer.from("abcdef"))));
});

async function assertExpanded(layer: Buffer): Promise<void> {
  await unpackBothWays([layer], ({ root }) => {
    assert.ok(readFileSync(join(root, "sparse")).equals(expanded));
    const { blocks } = lstatSync(join(root, "sparse"));
    assert.ok(blocks * 512 < expanded.length, `${blocks} blocks`);
  });
}

test("unpacking: a sparse file may be much larger than the disk", async () => {
  const records = [
    ["GNU.sparse.size", String(2 ** 43)],
    ["GNU.sparse.numblocks", "1"],
    ["GNU.sparse.map", `${2 ** 42},3`],
    ["GNU.sparse.name", "sparse"],
  ] as const;
  await unpackBothWays([archive(pax(...records), plain("abc"))], ({ root }) => {
    const { size, blocks } = lstatSync(join(root, "sparse"));
    assert.equal(size, 2 ** 43);
    assert.ok(blocks < 100);
  });
});

testRefusing([
  ...["abc", "-1", "1.5", "0x10", "9".repeat(30)].map((size) => ({
    what: `a PAX size of ${size}`,
    layers: [archive(pax(["size", size]), plain("a"))],
    message: /not a valid tar archive: .*(size|negative)/,
  })),
  {
    what: "PAX records of a wrong length",
    layers: [archive(extension("x", Buffer.from("99 path=a\n")), plain("a"))],
    message: /bad PAX record length/,
  },
  {
    what: "a NUL in a PAX path",
    layers: [archive(pax(["path", "a\0b"]), plain("a"))],
    message: /NUL in PAX path/,
  },
  {
    what: "a NUL in a PAX target",
    layers: [archive(pax(["linkpath", "a\0b"]), rawMember(symlink("s", "a")))],
    message: /NUL in PAX linkpath/,
  },
  {
    what: "an extended header over 1 MiB",
    layers: [archive(rawHeader({ flag: "x", path: "pax", size: 2 ** 20 + 1 }), plain("a"))],
    message: /over 1 MiB/,
  },
  {
    what: "a long name over 1 MiB",
    layers: [archive(rawHeader({ flag: "L", path: "long", size: 2 ** 33 - 1 }), plain("a"))],
    message: /over 1 MiB/,
  },
  {
    what: "a PAX name that a GNU long name after it contradicts",
    layers: [archive(pax(["path", "a"]), long("L", "b"), plain("x"))],
    message: /contradict each other/,
  },
  {
    what: "a PAX name that a GNU long name before it contradicts",
    layers: [archive(long("L", "b"), pax(["path", "a"]), plain("x"))],
    message: /contradict each other/,
  },
  {
    what: "a PAX target that a GNU long target contradicts",
    layers: [archive(long("K", "b"), pax(["linkpath", "a"]), rawMember(symlink("s", "c")))],
    message: /contradict each other/,
  },
  {
    what: "an archive that ends within a body",
    layers: [rawTar([file("a", "x".repeat(2000))]).subarray(0, 1500)],
    message: /incomplete: it ends in its content/,
  },
  {
    what: "an archive that ends within a header",
    layers: [Buffer.concat([plain("a"), Buffer.alloc(100, 1)])],
    message: /incomplete: it ends in its header/,
  },
  {
    what: "an archive that ends within an extended header",
    layers: [extension("x", paxRecord("path", "a")).subarray(0, 515)],
    message: /incomplete: it ends in its extended header/,
  },
  {
    what: "a header after one block of zeros",
    layers: [Buffer.concat([plain("a"), Buffer.alloc(512), plain("b")])],
    message: /a block of zeros is followed by one that isn't/,
  },
  {
    what: "a wrong checksum",
    layers: [archive(rawHeader({ flag: "0", path: "a" }, { checksum: "000001\0 " }))],
    message: /its checksum is wrong/,
  },
  ...["D", "V", "M", "\u00ff"].map((flag) => ({
    what: `a member of type ${JSON.stringify(flag)}`,
    layers: [archive(rawMember({ flag, path: "a", content: Buffer.from("x") }), plain("b"))],
    message: /which no layer may have/,
  })),
  {
    what: "a sparse file of a size beyond 2^53",
    layers: [
      archive(
        pax(
          ["GNU.sparse.size", String(2n ** 63n - 1n)],
          ["GNU.sparse.numblocks", "0"],
          ["GNU.sparse.map", "0,0"],
        ),
        plain("a"),
      ),
    ],
    message: /not a valid tar archive: .*(beyond 2\^53|sparse map)/,
  },
  {
    what: "a sparse file larger than the filesystem takes, with data at its end",
    layers: [
      archive(
        pax(
          ["GNU.sparse.size", String(2 ** 52)],
          ["GNU.sparse.numblocks", "1"],
          ["GNU.sparse.map", `${2 ** 51},1`],
        ),
        plain("a"),
      ),
    ],
    message: /is a file of 4503599627370496 bytes, larger than the filesystem takes/,
  },
  {
    what: "a sparse map that names other data than there is",
    layers: [
      archive(
        pax(["GNU.sparse.size", "1000"], ["GNU.sparse.numblocks", "1"], ["GNU.sparse.map", "0,500"]),
        plain("a"),
      ),
    ],
    message: /sparse map names 500 bytes of data, 1 are stored/,
  },
  {
    what: "a name of 256 bytes",
    layers: [[file("n".repeat(256))]],
    message: /has a name of 256 bytes; Linux takes 255/,
  },
  {
    what: "a folder's name of 256 bytes",
    layers: [[file(`${"n".repeat(256)}/x`)]],
    message: /has a name of 256 bytes; Linux takes 255/,
  },
  { what: "a symlink to nothing", layers: [[symlink("s", "")]], message: /is a symlink to nothing/ },
  {
    what: "a symlink to 4096 bytes",
    layers: [[symlink("s", "t".repeat(4096))]],
    message: /is a symlink to 4096 bytes; Linux takes 4095/,
  },
  { what: "a hard link to no name", layers: [[hardlink("h", "")]], message: /is a hard link to the root/ },
]);
