import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { digestOf } from "../../src/image/digest.ts";
import { blobPath } from "../../src/image/layout.ts";
import { randomLayer, storeInDirectory } from "../support/images/stored-image.ts";
import { withFilesystem } from "../support/runs/disks.ts";
import { runResource, versionOf } from "../support/runs/resource.ts";

const params = { output_oci: true, unpack_rootfs: true };

/** Where a file's blocks are, if it shares them; of filefrag's listing of it. */
function sharedBlocks(listed: string | undefined): string | undefined {
  return /^ +0: .*shared/m.exec(listed ?? "")?.[0];
}

for (const type of ["xfs", "btrfs"] as const) {
  test(`from a directory store on ${type}, image/ shares its blocks, and is no other name of the store's files`, async () => {
    await using folder = await createPrivateFolder("test-sharing");
    const from = join(folder.path, "builds");
    const { version, layouts } = await storeInDirectory(from, { "": [{ layers: [randomLayer(100_000)] }] });
    const places = { disk: join(folder.path, "disk"), from, listing: join(folder.path, "listing") };
    const run = await runResource("in", {
      args: [join(places.disk, "got")],
      stdin: { source: { directory: join(places.disk, "builds") }, version, params },
      under: await withFilesystem(type, places),
    });
    versionOf(run);
    // One part of the listing for each file.
    const listed = (await readFile(places.listing, "utf8")).split("File size of ");
    const layer = layouts[0]?.images[0]?.layers[0]?.descriptor ?? assert.fail();
    const [stored, delivered] = ["builds", "got"].map((name) =>
      listed.find(
        (part) => part.startsWith(join(places.disk, name)) && part.includes(blobPath(layer.digest)),
      ),
    );
    assert.ok(sharedBlocks(stored), listed.join("\n"));
    assert.equal(sharedBlocks(delivered), sharedBlocks(stored));
    const unpacked = listed.find((part) => part.includes("/rootfs/data-1"));
    assert.ok(unpacked !== undefined && sharedBlocks(unpacked) === undefined, unpacked);
  });
}

test("from a directory store on another filesystem, image/ is a copy", async () => {
  await using memory = await createPrivateFolder("test-sharing", "/dev/shm");
  await using folder = await createPrivateFolder("test-sharing");
  assert.notEqual((await stat(memory.path)).dev, (await stat(folder.path)).dev);
  const { version, layouts } = await storeInDirectory(memory.path, {
    "": [{ layers: [randomLayer(100_000)] }],
  });
  const stdin = { source: { directory: memory.path }, version, params };
  versionOf(await runResource("in", { args: [folder.path], stdin }));
  const layer = layouts[0]?.images[0]?.layers[0]?.descriptor ?? assert.fail();
  const delivered = join(folder.path, "image", blobPath(layer.digest));
  assert.equal(digestOf(await readFile(delivered)), layer.digest);
  const { nlink, mode } = await stat(delivered);
  assert.deepEqual({ nlink, mode: mode & 0o777 }, { nlink: 1, mode: 0o644 });
});
