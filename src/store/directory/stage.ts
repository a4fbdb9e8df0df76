import { lstatSync, mkdirSync, renameSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { flush, flushFolder, writeFlushedBytes, writeSmallFile } from "../../host/atomic-write.ts";
import { writeProblem } from "../../host/disk-errors.ts";
import { errorCode, UserError } from "../../host/errors.ts";
import { exchangeNames } from "../../host/folder-lock.ts";
import { mapAtOnce } from "../../host/map-at-once.ts";
import type { Blobs } from "../../image/blobs.ts";
import { type BuildVersion, buildName } from "../../image/build-version.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { type Digest, digestOf } from "../../image/digest.ts";
import { blobPath } from "../../image/layout.ts";
import { layoutMarker } from "../../image/layout-writer.ts";
import { reachableBlobs } from "../../image/reachable.ts";
import { drain, verifiedPieces } from "../../image/verify.ts";
import { encodeBuildIndex } from "../build-index.ts";
import type { Keep } from "../keep.ts";
import type { ReadBuild, Stage } from "../store.ts";
import { createStaging, retire } from "./folders.ts";
import { offerStoredBlobs } from "./offer-stored-blobs.ts";
import { removeOldBuilds } from "./remove-old-builds.ts";

/** Blobs that are checked and flushed at the same time: while one is hashed, the others wait for the disk. */
const flushedAtOnce = 4;

export interface DirectoryStageOptions {
  readonly directory: string;
  /** Names the store in messages. */
  readonly where: string;
  readonly signal: AbortSignal;
  readonly keep: Keep | undefined;
  /** See {@link Stage.earlier}. */
  readonly earlier: Stage["earlier"];
}

/**
 * A place in the store's directory that receives one build. BuildKit exports each target into a layout folder of
 * its own. The commit moves the blobs that the build needs into one layout and names it by the version.
 */
export async function openDirectoryStage({
  directory,
  where,
  signal,
  keep,
  earlier,
}: DirectoryStageOptions): Promise<Stage> {
  const staging = await createStaging(directory);
  const exports: string[] = [];
  const blobs = arrivedBlobs(exports, where);
  const stop = new AbortController();
  const offers: Promise<void>[] = [];
  const endOffers = async (): Promise<void> => {
    stop.abort();
    await Promise.all(offers);
  };
  const makeExport = async (): Promise<string> => {
    const folder = join(staging.folder, `export-${exports.length}`);
    exports.push(folder);
    mkdirSync(folder);
    return folder;
  };
  return {
    blobs,
    async exporter() {
      const folder = await makeExport();
      // Goes on while BuildKit builds. What is linked too late has been sent by then, and is the same.
      offers.push(offerStoredBlobs(directory, folder, stop.signal));
      return { kind: "layout", folder };
    },
    async add(document, mediaType) {
      const descriptor = { mediaType, digest: digestOf(document), size: document.length };
      const folder = await makeExport();
      mkdirSync(join(folder, "blobs/sha256"), { recursive: true });
      await writeSmallFile(join(folder, blobPath(descriptor.digest)), document);
      return descriptor;
    },
    earlier,
    async commit(build) {
      const layout = join(staging.folder, "build");
      await endOffers();
      await store({ build, blobs, layout, signal }, directory).catch(async (thrown: unknown) => {
        throw await writeProblem(thrown, layout);
      });
      if (keep !== undefined)
        await removeOldBuilds({ directory, keep, newest: buildName(build.version), now: Date.now() });
    },
    async [Symbol.asyncDispose]() {
      await endOffers();
      await staging[Symbol.asyncDispose]();
    },
  };
}

/** The blobs of all exports so far, as if they were in one layout. */
function arrivedBlobs(exports: readonly string[], where: string): Blobs {
  const find = ({ digest }: Descriptor): string | undefined =>
    exports
      .map((folder) => join(folder, blobPath(digest)))
      .find((path) => lstatSync(path, { throwIfNoEntry: false })?.isFile() === true);
  return {
    where,
    async open(descriptor) {
      const path = find(descriptor);
      if (path === undefined) {
        throw new UserError(
          `${where}: BuildKit exported no blob ${descriptor.digest}, though its manifests name it`,
        );
      }
      const file = await open(path, "r");
      return file.createReadStream({ highWaterMark: 1024 * 1024 });
    },
    file: find,
    kept: false,
  };
}

interface Gathering {
  readonly build: ReadBuild;
  readonly blobs: Blobs;
  /** A folder that doesn't exist yet. */
  readonly layout: string;
  readonly signal: AbortSignal;
}

async function store(gathering: Gathering, directory: string): Promise<void> {
  await gather(gathering);
  await publishLayout(directory, gathering.layout, gathering.build.version);
}

/** Moves all blobs that the build's targets need into one layout. Every blob is verified and flushed to the disk. */
async function gather({ build, blobs, layout, signal }: Gathering): Promise<void> {
  const folder = join(layout, "blobs/sha256");
  mkdirSync(folder, { recursive: true });
  const needed = new Map<Digest, Descriptor>();
  for (const { tree } of build.targets) {
    for (const { descriptor: blob } of await reachableBlobs(blobs, tree, signal))
      needed.set(blob.digest, blob);
  }
  await mapAtOnce([...needed.values()], { limit: flushedAtOnce, signal }, async (blob) => {
    const from = blobs.file(blob);
    await drain(verifiedPieces(blobs, blob, signal));
    if (from === undefined) throw new Error(`blob ${blob.digest} has no file`);
    // What was linked from a stored build was flushed with it.
    if (lstatSync(from).nlink === 1) await flush(from);
    renameSync(from, join(layout, blobPath(blob.digest)));
  });
  await writeFlushedBytes(join(layout, "oci-layout"), layoutMarker);
  await writeFlushedBytes(join(layout, "index.json"), encodeBuildIndex(build));
  for (const written of [folder, join(layout, "blobs"), layout]) await flushFolder(written);
}

/**
 * Gives the finished layout its name. It replaces a build of the same version atomically if the filesystem can
 * exchange names: a get then sees the old or the new one.
 */
async function publishLayout(directory: string, layout: string, version: BuildVersion): Promise<void> {
  const final = join(directory, buildName(version));
  try {
    renameSync(layout, final);
  } catch (thrown) {
    const code = errorCode(thrown);
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw thrown;
    // A get may still be reading the old build. Then the old build keeps its files under another name until a later
    // put removes it.
    if (await exchangeNames(layout, final)) await retire(directory, layout);
    else {
      // For a moment neither is there. If the put is killed then, running it again stores the same build.
      await retire(directory, final);
      renameSync(layout, final);
    }
  }
  await flushFolder(directory);
}
