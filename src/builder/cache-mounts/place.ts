import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { exchangeNames, lockFolder } from "../../host/folder-lock.ts";
import type { Reference } from "../../image/reference.ts";
import type { AttributePairs } from "../plan/csv.ts";
import { besideAttributes, type CacheLocation } from "../plan/layer-cache.ts";

/** Where a layer cache keeps the content of cache mounts: beside its layers. */
export interface CacheMountPlace {
  /** Keeps its list apart from the lists of other places. */
  readonly id: string;
  readonly imports: AttributePairs;
  readonly exports: AttributePairs;
  /** The cache's directory, for a cache of type `local`. */
  readonly directory: string | undefined;
}

/** The place for the mounts of one namespace (`BUILDKIT_CACHE_MOUNT_NS`, usually empty). Pure. */
export function mountsPlace(location: CacheLocation, namespace: string): CacheMountPlace {
  const name = mountsName(namespace);
  const { imports, exports } = besideAttributes(location, name);
  const { directory } = location.attributes;
  // The folder's path may be different in the next build.
  const identity = directory === undefined ? JSON.stringify(imports) : basename(directory);
  return {
    id: createHash("sha256").update(`${location.type}\0${identity}`).digest("hex").slice(0, 32),
    imports,
    exports,
    directory,
  };
}

/** The image under which a registry keeps the mounts of a namespace. Undefined if a location doesn't keep them. */
export function mountsReference(
  { reference, mounts }: CacheLocation,
  namespace: string,
): Reference | undefined {
  if (reference === undefined || (mounts?.restore !== true && mounts?.save !== true)) return undefined;
  return { ...reference, tag: `${reference.tag}${mountsName(namespace)}` };
}

/** Begins with a dot, as the name of a target never does. */
function mountsName(namespace: string): string {
  const suffix = createHash("sha256").update(namespace).digest("hex").slice(0, 12);
  return namespace === "" ? ".mounts" : `.mounts-${suffix}`;
}

/** Whether a folder in a cache's directory holds cache mounts. */
export function isMountsFolder(name: string): boolean {
  return /^cache\.mounts(-[0-9a-f]{12})?$/.test(name);
}

const savingPrefix = ".saving-";

/**
 * Calls `write` to save to a place, so that the old content stays valid until the new is complete. In a registry or
 * a bucket BuildKit writes last the manifest that names everything else. In a directory the content goes to a new
 * folder, which then replaces the old one.
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
  if (await isExchanged(fresh, final)) return;
  await rm(final, { recursive: true, force: true });
  await rename(fresh, final);
}

/** Returns false if there is no old folder, or if an overlayfs refuses to move it because it is in a lower layer. */
async function isExchanged(fresh: string, final: string): Promise<boolean> {
  try {
    return await exchangeNames(fresh, final);
  } catch {
    return false;
  }
}

async function removeUnlocked(folder: string): Promise<void> {
  await using lock = await lockFolder(folder, "exclusive");
  if (lock !== undefined) await rm(folder, { recursive: true, force: true });
}
