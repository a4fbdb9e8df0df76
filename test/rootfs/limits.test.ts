import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { removeFolder } from "../../src/host/remove-folder.ts";
import { close, openFolder, openHostFolder } from "../../src/rootfs/syscalls.ts";
import { unpackRootfs } from "../../src/rootfs/unpack.ts";
import { layerOf, testRefusing, unpackBothWays } from "../support/images/unpacking.ts";
import { createTestStep } from "../support/runs/test-step.ts";
import { file, folder, hardlink, opaque, symlink, whiteout } from "../support/tar/members.ts";
import { rawTar } from "../support/tar/raw-tar.ts";
import { readTree } from "../support/tar/trees.ts";

/** How many folders named `d` are within each other. */
function depthOf(root: string): number {
  let fd = openHostFolder(root);
  for (let depth = 0; ; depth++) {
    let next: number;
    try {
      next = openFolder(fd, "d");
    } catch {
      return depth;
    } finally {
      close(fd);
    }
    fd = next;
  }
}

const deep = "d/".repeat(5000);

test("folders 5,000 deep, whose paths are over Linux's limit, are made, changed and removed", async () => {
  const members = [file(`${deep}a`), folder(deep.slice(0, -1)), file(`${deep}b`)];
  const noise = { ...file("noise"), content: Buffer.alloc(1_100_000) };
  for (const more of [[], [noise]]) {
    await using place = await createPrivateFolder("test-deep");
    const destination = join(place.path, "rootfs");
    const layers = [
      rawTar([...members, ...more]),
      rawTar([whiteout(`${deep}a`), file(`${deep}c`), opaque(deep.slice(0, -1))]),
    ];
    const made = layers.map((layer) => layerOf(layer));
    await unpackRootfs({ layers: made, destination, step: createTestStep() });
    assert.equal(depthOf(destination), 5000);
    await removeFolder(createTestStep(), destination);
    const hidden = [...made, layerOf(rawTar([whiteout("d")]))];
    await unpackRootfs({ layers: hidden, destination, step: createTestStep() });
    assert.ok(!existsSync(join(destination, "d")));
    await removeFolder(createTestStep(), destination);
    // A failure after they are made removes them.
    const failing = unpackRootfs({
      layers: [...made, layerOf(Buffer.alloc(600, 1))],
      destination,
      step: createTestStep(),
    });
    await assert.rejects(failing, { name: "UserError" });
    assert.ok(!existsSync(destination));
  }
});

testRefusing([
  {
    what: "folders over 10,000 deep by way of symlinks",
    layers: [
      [
        file(`${"d/".repeat(9000)}x`),
        symlink(`${"d/".repeat(8999)}s`, "d/".repeat(1500)),
        folder(`${"d/".repeat(8999)}s/x`),
      ],
    ],
    message: /folders more than 10000 deep/,
  },
  {
    what: "folders over 10,000 deep by a path of a megabyte",
    layers: [[file("a/".repeat(500_000))]],
    message: /folders more than 10000 deep/,
  },
]);

test("a hard link to a file 5,000 folders deep is made in its own folder", async () => {
  const others = Array.from({ length: 300 }, (_, at) => file(`other-${at}/a`));
  const members = [file(`${deep}a`, "linked"), ...others, folder("near"), hardlink("near/link", `${deep}a`)];
  await using place = await createPrivateFolder("test-deep");
  const destination = join(place.path, "rootfs");
  await unpackRootfs({ layers: [layerOf(rawTar(members))], destination, step: createTestStep() });
  assert.equal(readFileSync(join(destination, "near/link"), "utf8"), "linked");
  await removeFolder(createTestStep(), destination);
});

test("many opaque markers over many files hide what is below them, each file being looked at once", async () => {
  const places = Array.from({ length: 2000 }, (_, at) => `d/${at % 50}/${at}`);
  const lower = places.map((path) => file(`${path}/x`));
  const folders = ["d", ...Array.from({ length: 50 }, (_, at) => `d/${at}`), ...places];
  const markers = [...folders, ...folders].flatMap((path) => [opaque(path), file(`${path}/y`)]);
  await unpackBothWays([lower, markers, [file("d/0/0/z")]], ({ root }) => {
    const files = [...readTree(root)].filter(([, { type }]) => type === "file").map(([path]) => path);
    assert.equal(files.length, folders.length + 1);
    assert.ok(files.every((path) => path.endsWith("/y") || path === "d/0/0/z"));
  });
});

test("folders of a thousand files with long names are removed whole, or but for what their layer has put there", async () => {
  const numbers = Array.from({ length: 1000 }, (_, at) => at);
  const lower = ["whiteout", "opaque", "replaced"].flatMap((path) => [
    ...numbers.map((at) => file(`${path}/${"long-name-".repeat(20)}${at}`)),
    symlink(`${path}/link`, "nowhere"),
  ]);
  const kept = numbers.filter((at) => at % 3 === 0);
  const upper = [
    whiteout("whiteout"),
    ...kept.slice(0, 150).map((at) => file(`opaque/${"long-name-".repeat(20)}${at}`, "new")),
    opaque("opaque"),
    ...kept.slice(150).map((at) => file(`opaque/${"long-name-".repeat(20)}${at}`, "new")),
    file("replaced"),
  ];
  await unpackBothWays([lower, upper], ({ root }) => {
    const files = [...readTree(root)].filter(([, { type }]) => type !== "folder");
    assert.equal(files.length, kept.length + 1);
    assert.ok(files.every(([path, { size }]) => path === "replaced" || size === 3n));
  });
});
