import assert from "node:assert/strict";
import { mkdir, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { execa } from "execa";
import { exchangeNames, lockFolder } from "../../src/host/folder-lock.ts";
import { createPrivateFolder } from "../../src/host/private-folder.ts";

test("a folder is locked although its name goes to another one meanwhile", async () => {
  await using folder = await createPrivateFolder("test-lock");
  const name = await folderIn(folder.path, "name");
  const other = await folderIn(folder.path, "other");
  for (let round = 0; round < 20; round++) {
    const locking = lockFolder(name, "shared");
    for (let times = 0; times < 7; times++) {
      await setImmediate();
      assert.ok(await exchangeNames(name, other));
    }
    await using lock = await locking;
    assert.ok(lock !== undefined, `round ${round}`);
    const known = await Promise.all([name, other].map(inode));
    assert.ok(known.includes(await inode(lock.path)));
  }
});

test("a folder that is gone, or that another holder has locked, isn't locked", async () => {
  await using folder = await createPrivateFolder("test-lock");
  const name = await folderIn(folder.path, "name");
  {
    await using _ = await lockFolder(name, "exclusive");
    assert.equal(await lockFolder(name, "shared"), undefined);
  }
  await rmdir(name);
  assert.equal(await lockFolder(name, "shared"), undefined);
});

test("a lock whose path can't be told is released", async () => {
  await using folder = await createPrivateFolder("test-lock");
  const name = await folderIn(folder.path, "name");
  const code = `
    import { execFileSync } from "node:child_process";
    import { lockFolder } from ${JSON.stringify(import.meta.resolve("../../src/host/folder-lock.ts"))};
    const tried = () => lockFolder(${JSON.stringify(name)}, "exclusive").catch(({ code, path }) => code + " " + path);
    await (await tried())[Symbol.asyncDispose]();
    execFileSync("umount", ["--lazy", "/proc"]);
    console.log(await tried());
    console.log(await tried());
  `;
  const node = [process.execPath, "--import", "tsx", "--input-type=module", "--eval", code];
  const { stdout } = await execa("unshare", ["--mount", ...node]);
  assert.equal(stdout, "ENOENT /proc/self\nENOENT /proc/self");
});

async function folderIn(parent: string, name: string): Promise<string> {
  const path = join(parent, name);
  await mkdir(path);
  return path;
}

async function inode(path: string): Promise<number> {
  const { ino } = await stat(path);
  return ino;
}
