import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { readExtendedAttributes } from "../support/images/extended-attributes.ts";
import { testRefusing, unpackBothWays } from "../support/images/unpacking.ts";
import { fifo, file, folder, symlink } from "../support/tar/members.ts";

/** cap_net_raw+ep as setcap(8) writes it, and with bytes over 0x7f (linux/capability.h, struct vfs_cap_data). */
const netRaw = Buffer.from("0100000200200000000000000000000000000000", "hex");
const many = Buffer.from("01000002ffffffff00000000ff00000000000000", "hex");

function attributesOf(root: string, name: string): Record<string, string> {
  const found = readExtendedAttributes(Buffer.from(join(root, name)));
  return Object.fromEntries([...found].map(([key, value]) => [key, value.toString("latin1")]));
}

test("unpacking: file capabilities are exact though owner and content are set as well, and work", async () => {
  const owned = { mode: 0o4755, uid: 1000, gid: 1000 };
  const layers = [
    [
      file("small", "x", { ...owned, xattrs: { "security.capability": netRaw } }),
      file("large", "x".repeat(200_000), { ...owned, xattrs: { "security.capability": many } }),
    ],
  ];
  await unpackBothWays(layers, async ({ root }) => {
    assert.deepEqual(attributesOf(root, "small"), { "security.capability": netRaw.toString("latin1") });
    assert.deepEqual(attributesOf(root, "large"), { "security.capability": many.toString("latin1") });
    const { stdout } = await execa("getcap", [join(root, "small")]);
    assert.match(stdout, /cap_net_raw=ep$/);
  });
});

test("unpacking: attributes' values are any bytes, also of none, and names any but NUL", async () => {
  const xattrs = {
    "user.newline": Buffer.from("a\nb\n"),
    "user.equals": Buffer.from("=a=b="),
    "user.nul": Buffer.from("a\0b\0"),
    "user.high": Buffer.from([0xff, 0xfe, 0x80]),
    "user.empty": Buffer.alloc(0),
    "user.\u00e4 \n": Buffer.from("name"),
    "trusted.of-the-image": Buffer.from("kept"),
  };
  const expected = Object.fromEntries(
    Object.entries(xattrs).map(([key, value]) => [key, value.toString("latin1")]),
  );
  const layers = [
    [file("small", "x", { xattrs }), file("large", "x".repeat(200_000), { xattrs }), folder("d", { xattrs })],
  ];
  await unpackBothWays(layers, ({ root, logged }) => {
    for (const name of ["small", "large", "d"]) assert.deepEqual(attributesOf(root, name), expected, name);
    assert.doesNotMatch(logged, /warning/);
  });
});

test("unpacking: attributes that belong to the machine are left out without a word", async () => {
  const xattrs = {
    "security.selinux": Buffer.from("system_u:object_r:etc_t:s0\0"),
    "trusted.overlay.opaque": Buffer.from("y"),
    "user.overlay.whiteout": Buffer.from("y"),
    "user.kept": Buffer.from("kept"),
  };
  await unpackBothWays([[file("a", "a", { xattrs }), folder("d", { xattrs })]], ({ root, logged }) => {
    for (const name of ["a", "d"]) assert.deepEqual(attributesOf(root, name), { "user.kept": "kept" });
    assert.doesNotMatch(logged, /warning/);
  });
});

test("unpacking: attributes that only files may have are left out of links and FIFOs, with one warning", async () => {
  const xattrs = { "user.a": Buffer.from("a"), "user.b": Buffer.from("b") };
  const layers = [
    [symlink("s", "x", { xattrs }), symlink("t", "x", { xattrs }), fifo("p", { xattrs }), file("f")],
  ];
  await unpackBothWays(layers, ({ root, logged }) => {
    for (const name of ["s", "t", "p"]) assert.deepEqual(attributesOf(root, name), {});
    assert.equal(
      logged.match(/extended attributes user\.\* can't be set here \(EPERM\)/g)?.length,
      1,
      logged,
    );
  });
});

testRefusing([
  {
    what: "an attribute with a longer name than Linux takes",
    layers: [[file("a", "a", { xattrs: { [`user.${"n".repeat(5000)}`]: Buffer.from("x") } })]],
    message: /has an extended attribute whose name and value have 5005 and 1 bytes/,
  },
  {
    what: "an attribute with a longer value than Linux takes",
    layers: [[folder("a", { xattrs: { "user.a": Buffer.alloc(65_537) } })]],
    message: /whose name and value have 6 and 65537 bytes/,
  },
  {
    what: "an attribute that makes no sense to the kernel",
    layers: [[file("a", "a", { xattrs: { "security.capability": Buffer.from("nonsense") } })]],
    message: /"security.capability" of "a" \(8 bytes\) is refused by the filesystem: EINVAL/,
  },
  {
    what: "folders with more attributes than fit into memory",
    layers: [
      Array.from({ length: 70 }, (_, at) =>
        folder(String(at), {
          xattrs: Object.fromEntries(
            Array.from({ length: 15 }, (__, of) => [`user.${of}`, Buffer.alloc(65_536)]),
          ),
        }),
      ),
    ],
    message: /is one of folders with over 67108864 bytes of extended attributes/,
  },
]);
