import { mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type FolderLock, lockFolder } from "../../host/folder-lock.ts";

/** Names in a store's directory that are no build: folders of puts under way, and replaced builds that wait for removal. */
const stagingPrefix = ".staging-";
const replacedPrefix = ".replaced-";

/** A put's own folder in the store, locked for as long as its process lives. */
export async function createStaging(directory: string): Promise<FolderLock & { readonly folder: string }> {
  for (;;) {
    const folder = await mkdtemp(join(directory, stagingPrefix));
    const lock = await lockFolder(folder, "exclusive").catch(async (thrown: unknown) => {
      await rm(folder, { recursive: true });
      throw thrown;
    });
    // A clean-up may have taken it between its making and its locking: then another is made.
    if (lock === undefined) continue;
    return {
      folder,
      path: lock.path,
      async [Symbol.asyncDispose]() {
        await rm(folder, { recursive: true, force: true });
        await lock[Symbol.asyncDispose]();
      },
    };
  }
}

/**
 * Takes a build out of the store: nobody finds it any more, at once. A get that reads it keeps its files, until a
 * later put clears them away.
 */
export async function retire(directory: string, folder: string): Promise<void> {
  const retired = join(directory, `${replacedPrefix}${crypto.randomUUID()}`);
  await rename(folder, retired);
  await removeUnlessUsed(retired);
}

/** Removes what dead puts have left, and replaced builds that nobody reads any more. */
export async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name.startsWith(stagingPrefix) || name.startsWith(replacedPrefix))
      await removeUnlessUsed(join(directory, name));
  }
}

/** Removes a folder unless somebody holds a lock on it: a writer its staging folder, a reader its build. */
async function removeUnlessUsed(folder: string): Promise<boolean> {
  const lock = await lockFolder(folder, "exclusive");
  if (lock === undefined) return false;
  await rm(folder, { recursive: true, force: true });
  await lock[Symbol.asyncDispose]();
  return true;
}
