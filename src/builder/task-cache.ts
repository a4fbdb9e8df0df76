import { readdir, readFile, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Log } from "../host/log.ts";
import { type Digest, hexOf } from "../image/digest.ts";
import { Index, Manifest, parseDocument } from "../image/documents.ts";
import { blobPath } from "../image/layout.ts";
import { documentLimit } from "../image/verify.ts";
import { isMountsFolder } from "./cache-mounts/place.ts";
import { defaultMounts, type LayerCache, localFolder, noLayerCache } from "./plan/layer-cache.ts";

/**
 * A layer cache in a folder that is kept from one run to the next. It contains layers as blobs, not a daemon's
 * state, because the folder may be on an overlayfs in the next run (Concourse's caches are). No overlay can be
 * mounted on an overlayfs, and it would interpret the whiteouts in the state's snapshots as its own.
 */
export function folderCache(directory: string): LayerCache {
  const mounts = { ...defaultMounts, isFixed: true };
  return {
    ...noLayerCache,
    locations: [{ type: "local", attributes: { directory }, mode: "max", export: true, mounts }],
  };
}

/**
 * Removes from a kept cache everything that the build that has just ended did not use. BuildKit adds to its folders
 * and never removes anything.
 * @param targets of the build, the main one as an empty string
 */
export async function dropUnused(directory: string, targets: readonly string[]): Promise<void> {
  // A cache that can't be read is useless and is removed. Such errors must not fail a finished build.
  const names = await readdir(directory).catch((): string[] => []);
  const used = new Set(
    targets.map((target) => basename(localFolder(directory, { target, platform: undefined }))),
  );
  for (const name of names.filter((found) => !isMountsFolder(found))) {
    const folder = join(directory, name);
    const isGood =
      used.has(name) &&
      (await dropBlobs(folder).then(
        () => true,
        () => false,
      ));
    if (!isGood) await rm(folder, { recursive: true, force: true });
  }
}

async function dropBlobs(folder: string): Promise<void> {
  const used = new Set((await blobsOf(folder)).map(hexOf));
  await rm(join(folder, "ingest"), { recursive: true, force: true });
  for (const name of await readdir(join(folder, "blobs/sha256"))) {
    if (!used.has(name)) await rm(join(folder, "blobs/sha256", name));
  }
}

/** The cache's manifest (BuildKit writes one, `image-manifest=true`), its config and its layers. */
async function blobsOf(folder: string): Promise<Digest[]> {
  const { manifests } = parseDocument(Index, await readFile(join(folder, "index.json")), folder);
  const found: Digest[] = [];
  for (const { digest } of manifests) {
    const bytes = await readFile(join(folder, blobPath(digest)));
    const { config, layers } = parseDocument(Manifest, bytes, `${folder}: manifest ${digest}`);
    found.push(digest, config.digest, ...layers.map((layer) => layer.digest));
  }
  return found;
}

/** The files of the oci-build task in its cache folder: the export of a layer cache, directly in that folder. */
const foreignNames = ["blobs", "index.json", "ingest", "oci-layout", "cache.lock"];
const cacheConfigType = "application/vnd.buildkit.cacheconfig.v0";

/**
 * Removes the layer cache that the oci-build task has left in a folder. It would occupy disk space forever, and
 * would be part of any context that contains the folder. Anything else in the folder stays.
 */
export async function dropForeignCache(folder: string, log: Pick<Log, "line">): Promise<void> {
  if (!(await isForeignCache(folder).catch(() => false))) return;
  for (const name of foreignNames) await rm(join(folder, name), { recursive: true, force: true });
  log.line(`removed the layer cache that the oci-build task has left in ${basename(folder)}/`);
}

async function isForeignCache(folder: string): Promise<boolean> {
  const { manifests } = parseDocument(Index, await readSmall(join(folder, "index.json")), folder);
  const [first] = manifests;
  if (first === undefined) return false;
  // Either an index whose last entry is the cache's config, or a manifest whose config it is.
  return (await readSmall(join(folder, blobPath(first.digest)))).includes(cacheConfigType);
}

async function readSmall(file: string): Promise<Buffer> {
  const { size } = await stat(file);
  if (size > documentLimit) throw new Error(`${file} has ${size} bytes`);
  return readFile(file);
}
