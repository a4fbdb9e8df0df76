import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, glob, mkdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { withLock } from "./lock.ts";
import { checkout } from "./test-step.ts";

/** What the executables are made from, as patterns of the checkout. */
const ingredients = ["src/**/*.ts", "assets/*", "tools/*.ts", "package-lock.json"];

let made: Promise<string> | undefined;

/**
 * The folder of the executables as the image has them in `/opt/resource`: the launchers, and beside them the bundle and
 * the start-up snapshot in `dist`. It is made once for each state of the source and kept beside the tools; nobody may
 * write to it. Executables of a bundle take half the processor time to start that those of a checkout take.
 */
export function bundledResource(): Promise<string> {
  made ??= findOrMake();
  return made;
}

/** A PATH with the checkout's Node and tools before the folders of `path`; the image has them on its PATH. */
export function pathWithTools(path: string): string {
  return [join(checkout, "node_modules/.bin"), join(checkout, ".tools/bin"), path].join(":");
}

const ownNode = { PATH: pathWithTools(process.env["PATH"] ?? "/usr/bin:/bin") };

/** Milliseconds after its last use until the folder of an earlier state of the source is removed. */
const keptFor = 24 * 60 * 60 * 1000;

async function findOrMake(): Promise<string> {
  const cache = join(checkout, ".tools/cache");
  const state = await sourceState();
  const folder = join(cache, `resource-${state}`);
  if (!existsSync(folder)) {
    await mkdir(cache, { recursive: true });
    await withLock(join(cache, "resource.lock"), async () => {
      if (existsSync(folder)) return;
      await removeUnused(cache);
      await using work = await createPrivateFolder("test-resource", cache);
      const resource = join(work.path, "resource");
      await cp(join(checkout, "assets"), resource, { recursive: true });
      await execa("node", [join(checkout, "tools/build.ts"), join(resource, "dist")], { env: ownNode });
      if ((await sourceState()) !== state)
        throw new Error("the source was changed while it was bundled: run again");
      await rename(resource, folder);
    });
  }
  const now = new Date();
  await utimes(folder, now, now);
  return folder;
}

/** Tells one state of the source from another, and one Node, which the snapshot is for, from another. */
async function sourceState(): Promise<string> {
  const names: string[] = [];
  for await (const name of glob(ingredients, { cwd: checkout })) names.push(name);
  const hash = createHash("sha256");
  for (const name of names.toSorted()) {
    hash.update(`${name}\0`).update(await readFile(join(checkout, name)));
  }
  const node = await execa("sh", ["-c", 'stat -L -c "%n %y" "$(command -v node)"'], { env: ownNode });
  return hash.update(node.stdout).digest("hex").slice(0, 16);
}

async function removeUnused(cache: string): Promise<void> {
  for await (const name of glob("resource-*", { cwd: cache })) {
    const folder = join(cache, name);
    if (Date.now() - (await stat(folder)).mtimeMs > keptFor) await rm(folder, { recursive: true });
  }
}
