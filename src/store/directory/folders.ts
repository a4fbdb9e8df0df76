import { mkdtempSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../host/errors.ts";
import { type FolderLock, lockFolder } from "../../host/folder-lock.ts";
import { uniqueId } from "../../host/unique-id.ts";

/**
 * Prefixes of names in a store's directory that aren't builds: folders of puts in progress, and replaced builds
 * that are to be removed.
 */
const stagingPrefix = ".staging-";
const replacedPrefix = ".replaced-";

/** A put's own folder in the store. It stays locked as long as the put's process lives. */
export async function createStaging(directory: string): Promise<FolderLock & { readonly folder: string }> {
  for (;;) {
    const folder = mkdtempSync(join(directory, stagingPrefix));
    const lock = await lockFolder(folder, "exclusive").catch(async (thrown: unknown) => {
      await rm(folder, { recursive: true });
      throw thrown;
    });
    // A clean-up may have taken the folder before it was locked. Then another is made.
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
 * Removes a build from the store. From then on no get finds it. A get that is reading it keeps its files until a
 * later put removes them.
 */
export async function retire(directory: string, folder: string): Promise<void> {
  const retired = join(directory, `${replacedPrefix}${uniqueId()}`);
  renameSync(folder, retired);
  await removeUnlessUsed(retired);
}

/** Removes what dead puts left behind, and replaced builds that no get reads any more. */
export async function removeLeftovers(directory: string): Promise<void> {
  for (const name of readdirSync(directory)) {
    if (name.startsWith(stagingPrefix) || name.startsWith(replacedPrefix))
      await removeUnlessUsed(join(directory, name));
  }
}

/**
 * Removes a folder unless it is locked: a put locks its staging folder, a get the build that it reads. What another
 * user's put has left stays too: that user's next one removes it.
 */
async function removeUnlessUsed(folder: string): Promise<void> {
  try {
    await using lock = await lockFolder(folder, "exclusive");
    if (lock !== undefined) await rm(folder, { recursive: true, force: true });
  } catch (thrown) {
    if (errorCode(thrown) !== "EACCES") throw thrown;
  }
}
