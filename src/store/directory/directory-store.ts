import { access, constants, mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errorCode, UserError } from "../../host/errors.ts";
import { lockFolder } from "../../host/file-lock.ts";
import { type Digest, hexOf, isDigest } from "../../image/digest.ts";
import { readTree, verifyVersion } from "../../image/image-tree.ts";
import { layoutBlobs, openLayout } from "../../image/layout.ts";
import { decodeBuildIndex } from "../build-index.ts";
import type { Store, StoredBuild } from "../store.ts";
import { removeLeftovers } from "./folders.ts";
import type { Keep } from "./keep.ts";
import { openDirectoryStage } from "./stage.ts";

export interface DirectoryStoreOptions {
  /** Made when it isn't there. */
  readonly directory: string;
  /** Which builds stay when a new one is stored; by default all. */
  readonly keep?: Keep | undefined;
}

/**
 * A store in a directory of this machine: each build is an OCI layout in a folder named by the hex of its version,
 * whose `index.json` is the build index.
 */
export function openDirectoryStore({ directory, keep }: DirectoryStoreOptions): Store {
  const where = `directory ${directory}`;
  return {
    where,
    async prepare() {
      await writable(directory, where);
      await removeLeftovers(directory);
    },
    tags: async () => [],
    stage: (signal) => openDirectoryStage({ directory, where, signal, keep }),
    fetch: (version, signal) => openStoredFolder(directory, version, signal),
    [Symbol.asyncDispose]: async () => {},
  };
}

async function writable(directory: string, where: string): Promise<void> {
  try {
    await makeStoreFolder(directory);
    await access(directory, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const code = errorCode(cause) ?? "";
    throw new UserError(
      `${where}: can't be written (${code}); source.directory must name a folder that this step may write to, on a disk that its gets see too`,
      { cause },
    );
  }
}

/** Node's own recursive mkdir never ends where a parent is there and has no room for folders, as /proc. */
async function makeStoreFolder(path: string): Promise<void> {
  const missing = await mkdir(path).catch((thrown: unknown) => {
    if (errorCode(thrown) === "EEXIST") return false;
    if (errorCode(thrown) !== "ENOENT" || dirname(path) === path) throw thrown;
    return true;
  });
  if (missing !== true) return;
  await makeStoreFolder(dirname(path));
  await mkdir(path).catch((thrown: unknown) => {
    if (errorCode(thrown) !== "EEXIST") throw thrown;
  });
}

async function openStoredFolder(
  directory: string,
  version: Digest,
  signal: AbortSignal,
): Promise<StoredBuild> {
  const folder = join(directory, hexOf(version));
  const where = `directory ${folder}`;
  await using held = new AsyncDisposableStack();
  const lock = await lockFolder(folder, "shared");
  if (lock === undefined) throw new UserError(await gone(directory, version));
  held.use(lock);
  // Read through the lock's path: a put of the same version may exchange the folder under its name at any time.
  const { index } = await openLayout(lock.path, where);
  const build = decodeBuildIndex(Buffer.from(JSON.stringify(index)), where);
  const blobs = await layoutBlobs(lock.path, where);
  const tree = await readTree(blobs, build.targets[0].descriptor, signal);
  verifyVersion(tree, version, where);
  const owned = held.move();
  return {
    ...build,
    version,
    blobs,
    tree,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function gone(directory: string, version: Digest): Promise<string> {
  const names = await readdir(directory).catch(() => undefined);
  if (names === undefined) {
    return `directory ${directory}: there is no such folder on this worker; a directory store works only where put and get see the same disk`;
  }
  const builds = names.filter((name) => isDigest(`sha256:${name}`)).length;
  return `build ${version} is no longer in directory ${directory} (it holds ${builds} other builds): run the put again`;
}
