import assert from "node:assert/strict";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { removeFolder } from "../../src/host/remove-folder.ts";
import { createTestStep } from "../support/runs/test-step.ts";

test("a folder is removed with all that is in it, however that is shared out, and links lead nowhere else", async () => {
  await using folder = await createPrivateFolder("test-remove");
  const kept = join(folder.path, "kept");
  await mkdir(kept);
  await writeFile(join(kept, "file"), "");
  for (const [branches, leaves] of [
    [0, 0],
    [1, 0],
    [3, 1],
    [8, 9],
    [700, 0],
  ] as const) {
    const tree = join(folder.path, "tree");
    await mkdir(tree);
    await writeFile(join(tree, "file"), "");
    for (let branch = 0; branch < branches; branch++) {
      const path = join(tree, "snapshots", `${branch} \n-rf`);
      await mkdir(path, { recursive: true });
      await writeFile(join(path, "file"), "");
      await symlink(kept, join(path, "link"));
      for (let leaf = 0; leaf < leaves; leaf++)
        await mkdir(join(path, `${leaf}`, "fs/work"), { recursive: true });
    }
    await removeFolder(createTestStep(), tree);
    assert.deepEqual(await readdir(folder.path), ["kept"], `${branches} of ${leaves}`);
  }
  assert.deepEqual(await readdir(kept), ["file"]);
});
