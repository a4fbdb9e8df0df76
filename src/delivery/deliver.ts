import { mkdir, mkdtemp, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { writeProblem } from "../host/disk-errors.ts";
import { removeFolder } from "../host/remove-folder.ts";
import type { StepContext } from "../host/step-context.ts";
import type { NearBlobs } from "../image/arriving-blob.ts";
import type { EarlyThreads } from "../rootfs/threads/early-threads.ts";
import { deliveredNames, imageFiles, otherFiles } from "./delivered-files.ts";
import type { DecidedTarget } from "./target-content.ts";

export interface DeliverTarget extends DecidedTarget {
  /** All delivered files appear in it together, at the end. */
  readonly folder: string;
}

interface Prepared {
  readonly step: StepContext;
  readonly folder: string;
  /** A temporary folder with the files to deliver. It is inside `folder`, and so on the same disk. */
  readonly partial: string;
}

/**
 * Delivers each target into its folder: see {@link deliveredNames}. Files appear only when all are complete. They
 * replace those of an earlier delivery into the folder; other files there are kept.
 * @param threads may unpack a root filesystem; by default they are started when they are needed
 * @throws UserError if an image doesn't match its digests; the folders then stay as they were
 */
export async function deliverAll(targets: readonly DeliverTarget[], threads?: EarlyThreads): Promise<void> {
  await using unfinished = new AsyncDisposableStack();
  const prepared: Prepared[] = [];
  for (const target of targets) {
    const { folder } = target;
    const made = await mkdir(folder, { recursive: true });
    const partial = await mkdtemp(join(folder, ".partial-"));
    prepared.push({ step: target.step, partial, folder });
    unfinished.defer(() => removeFolder(target.step, made ?? partial));
    await writeFiles(target, partial, threads).catch(async (thrown: unknown) => {
      throw await writeProblem(thrown, folder);
    });
  }
  await publishFolders(prepared);
  unfinished.move();
  for (const { step, partial } of prepared) await removeFolder(step, partial);
}

async function writeFiles(
  target: DecidedTarget,
  folder: string,
  threads: EarlyThreads | undefined,
): Promise<void> {
  let near: NearBlobs | undefined;
  for (const { name, write } of imageFiles) near = (await write(target, join(folder, name))) ?? near;
  // The root filesystem takes longest. Its threads start while the small files are written.
  const writing = await Promise.allSettled(
    otherFiles.map(({ name, write }) => write(target, join(folder, name), { near, threads })),
  );
  for (const outcome of writing) if (outcome.status === "rejected") throw outcome.reason;
}

/**
 * Moves the prepared files into their folders, and the files that they replace out of them. Moves all of them, or
 * none.
 */
async function publishFolders(prepared: readonly Prepared[]): Promise<void> {
  const moves: { readonly from: string; readonly to: string }[] = [];
  const move = async (from: string, to: string) => {
    await rename(from, to);
    moves.push({ from, to });
  };
  try {
    for (const { partial, folder } of prepared) {
      const names = await readdir(partial);
      const replaced = join(partial, ".replaced");
      const earlier = await replacedBy(names, folder);
      if (earlier.length > 0) await mkdir(replaced);
      for (const name of earlier) await move(join(folder, name), join(replaced, name));
      for (const name of names) await move(join(partial, name), join(folder, name));
    }
  } catch (thrown) {
    for (const { from, to } of moves.toReversed()) await rename(to, from);
    throw thrown;
  }
}

/**
 * The names that a delivery removes: all files of an earlier one, as its image.tar would be taken for the new one.
 * A `digest` file shows that there was an earlier delivery.
 */
async function replacedBy(names: readonly string[], folder: string): Promise<string[]> {
  const present = await readdir(folder);
  const ours = present.includes("digest") ? [...names, ...deliveredNames] : names;
  return present.filter((name) => ours.includes(name));
}
