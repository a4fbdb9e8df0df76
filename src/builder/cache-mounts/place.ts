import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { exchangeNames, lockFolder } from "../../host/folder-lock.ts";
import { type AttributePairs, besideAttributes, type CacheLocation } from "../plan/layer-cache.ts";

/** Where a layer cache keeps the content of cache mounts: beside its layers. */
export interface CacheMountPlace {
  /** Tells its list from those of other places. */
  readonly id: string;
  readonly imports: AttributePairs;
  readonly exports: AttributePairs;
  /** The directory that the cache is in, if it is in one. */
  readonly directory: string | undefined;
}

/** The place for the mounts of one namespace (`BUILDKIT_CACHE_MOUNT_NS`, most often empty). Pure. */
export function mountsPlace(location: CacheLocation, namespace: string): CacheMountPlace {
  const name = mountsName(namespace);
  const { imports, exports } = besideAttributes(location, name);
  const { directory } = location.attributes;
  // A folder may have another path in the next build.
  const identity = directory === undefined ? JSON.stringify(imports) : basename(directory);
  return {
    id: createHash("sha256").update(`${location.type}\0${identity}`).digest("hex").slice(0, 32),
    imports,
    exports,
    directory,
  };
}

/** A target's name never begins with a dot. */
function mountsName(namespace: string): string {
  const suffix = createHash("sha256").update(namespace).digest("hex").slice(0, 12);
  return namespace === "" ? ".mounts" : `.mounts-${suffix}`;
}

/** Whether a folder of a cache's directory holds cache mounts. */
export function isMountsFolder(name: string): boolean {
  return /^cache\.mounts(-[0-9a-f]{12})?$/.test(name);
}

const savingPrefix = ".saving-";

/**
 * Has `write` save to a place. In a registry and in a bucket BuildKit writes what names all the rest last; in a
 * directory it goes to a folder of its own, which then takes the place of the one before.
 */
export async function replaceContent(
  { exports, directory }: CacheMountPlace,
  write: (exports: AttributePairs) => Promise<unknown>,
): Promise<void> {
  const final = exports.find(([key]) => key === "dest")?.[1];
  if (directory === undefined || final === undefined) {
    await write(exports);
    return;
  }
  await mkdir(directory, { recursive: true });
  for (const name of await readdir(directory)) {
    if (name.startsWith(savingPrefix)) await removeUnlocked(join(directory, name));
  }
  const fresh = join(directory, `${savingPrefix}${randomBytes(8).toString("hex")}`);
  await mkdir(fresh);
  await using _ = await lockFolder(fresh, "exclusive");
  try {
    await write(exports.map(([key, value]) => [key, key === "dest" ? fresh : value]));
    await takePlace(fresh, final);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function takePlace(fresh: string, final: string): Promise<void> {
  if (isExchanged(fresh, final)) return;
  await rm(final, { recursive: true, force: true });
  await rename(fresh, final);
}

/** An overlayfs moves no folder of its lower layers, and no filesystem exchanges what isn't there. */
function isExchanged(fresh: string, final: string): boolean {
  try {
    return exchangeNames(fresh, final);
  } catch {
    return false;
  }
}

async function removeUnlocked(folder: string): Promise<void> {
  await using lock = await lockFolder(folder, "exclusive");
  if (lock !== undefined) await rm(folder, { recursive: true, force: true });
}
