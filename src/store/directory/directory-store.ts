import { accessSync, constants, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { errorCode, UserError } from "../../host/errors.ts";
import { lockFolder } from "../../host/folder-lock.ts";
import { unlessMissing } from "../../host/or-none.ts";
import { type BuildVersion, buildName, isBuildName } from "../../image/build-version.ts";
import { layoutBlobs, readLayoutIndex } from "../../image/layout.ts";
import type { Build } from "../build.ts";
import { decodeBuildIndex } from "../build-index.ts";
import type { Keep } from "../keep.ts";
import { missingBuild } from "../missing-build.ts";
import type { Store } from "../store.ts";
import { verifiedTargets } from "../verified-targets.ts";
import { removeLeftovers } from "./folders.ts";
import { openDirectoryStage } from "./stage.ts";

export interface DirectoryStoreOptions {
  /** Created if it doesn't exist. */
  readonly directory: string;
  /** Which builds to keep when a new one is stored. Default: all. */
  readonly keep?: Keep | undefined;
}

/**
 * A store in a directory of this machine. Each build is an OCI layout in a folder named by its version, and the
 * layout's `index.json` is the build index.
 */
export function openDirectoryStore({ directory, keep }: DirectoryStoreOptions): Store {
  const where = `directory ${directory}`;
  const earlier = async (version: BuildVersion) => {
    try {
      await using stored = await openStoredFolder({ directory, keep }, version);
      return stored.build;
    } catch (thrown) {
      if (thrown instanceof UserError) return undefined;
      throw thrown;
    }
  };
  return {
    where,
    async prepare() {
      checkWritable(directory, where);
      await removeLeftovers(directory);
    },
    tags: async () => [],
    stage: (signal) => openDirectoryStage({ directory, where, signal, keep, earlier }),
    async read(version) {
      await using stored = await openStoredFolder({ directory, keep }, version);
      return stored.build;
    },
    async fetch(version, signal) {
      await using held = new AsyncDisposableStack();
      const { build, path, where: folder } = held.use(await openStoredFolder({ directory, keep }, version));
      const blobs = layoutBlobs(path, folder);
      const verified = await verifiedTargets(build, version, blobs, signal);
      const owned = held.move();
      return { ...verified, put: build.put, blobs, [Symbol.asyncDispose]: () => owned.disposeAsync() };
    },
    isTagged: async () => false,
    [Symbol.asyncDispose]: async () => {},
  };
}

function checkWritable(directory: string, where: string): void {
  try {
    makeStoreFolder(directory);
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const code = errorCode(cause) ?? "";
    throw new UserError(
      `${where}: can't be written (${code}); source.directory must name a folder that this step may write to, on a disk that its gets see too`,
      { cause },
    );
  }
}

/**
 * Makes the folder and its parents. Node's own recursive mkdir never returns if a parent exists but can't hold
 * folders, as in /proc.
 */
function makeStoreFolder(path: string): void {
  try {
    ensureFolder(path);
  } catch (thrown) {
    if (errorCode(thrown) !== "ENOENT" || dirname(path) === path) throw thrown;
    makeStoreFolder(dirname(path));
    ensureFolder(path);
  }
}

/** Makes a folder in one that exists, if it isn't there. */
function ensureFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (thrown) {
    if (errorCode(thrown) !== "EEXIST") throw thrown;
  }
}

/** The folder of a build. Its files stay readable until it is disposed of. */
interface StoredFolder extends AsyncDisposable {
  readonly build: Build;
  /** Stays valid when a put of the same version replaces the folder. */
  readonly path: string;
  readonly where: string;
}

async function openStoredFolder(
  { directory, keep }: DirectoryStoreOptions,
  version: BuildVersion,
): Promise<StoredFolder> {
  const folder = join(directory, buildName(version));
  const where = `directory ${folder}`;
  await using held = new AsyncDisposableStack();
  const lock = await lockFolder(folder, "shared");
  if (lock === undefined) throw goneFrom(directory, version, keep);
  held.use(lock);
  const index = readLayoutIndex(lock.path, where);
  const build = decodeBuildIndex(Buffer.from(JSON.stringify(index)), where);
  const owned = held.move();
  return { build, path: lock.path, where, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function goneFrom(directory: string, version: BuildVersion, keep: Keep | undefined): UserError {
  const names = unlessMissing(() => readdirSync(directory));
  if (names === undefined) {
    return new UserError(
      `directory ${directory}: there is no such folder on this worker; a directory store works only where put and get see the same disk`,
    );
  }
  const builds = names.filter(isBuildName).length;
  return missingBuild(
    version,
    `directory ${directory} (it holds ${builds} other ${builds === 1 ? "build" : "builds"})`,
    keep,
  );
}
