import { mkdir, mkdtemp, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { writeProblem } from "../host/disk-errors.ts";
import { removeFolder } from "../host/remove-folder.ts";
import type { StepContext } from "../host/step-context.ts";
import type { Blobs } from "../image/blobs.ts";
import { deliveredFiles, deliveredNames } from "./delivered-files.ts";
import type { DecidedTarget } from "./target-content.ts";

export interface DeliverTarget extends DecidedTarget {
  /** What is delivered appears in it at the end, all at once. */
  readonly folder: string;
}

interface Prepared {
  readonly step: StepContext;
  readonly folder: string;
  /** Lies in the folder, and so on the same disk, and holds what is to appear there. */
  readonly partial: string;
}

/**
 * Delivers targets, each into its folder: see {@link deliveredFiles}. Nothing of it is seen before all of it is there.
 * What an earlier delivery left in a folder is replaced; what else is there stays.
 * @throws UserError when an image isn't what its digests say; the folders stay as they were
 */
export async function deliverAll(targets: readonly DeliverTarget[]): Promise<void> {
  await using unfinished = new AsyncDisposableStack();
  const prepared: Prepared[] = [];
  for (const target of targets) {
    const { folder } = target;
    const made = await mkdir(folder, { recursive: true });
    const partial = await mkdtemp(join(folder, ".partial-"));
    prepared.push({ step: target.step, partial, folder });
    unfinished.defer(() => removeFolder(target.step, made ?? partial));
    await writeFiles(target, partial).catch(async (thrown: unknown) => {
      throw await writeProblem(thrown, folder);
    });
  }
  await publishFolders(prepared);
  unfinished.move();
  for (const { step, partial } of prepared) await removeFolder(step, partial);
}

async function writeFiles(target: DecidedTarget, folder: string): Promise<void> {
  let near: Blobs | undefined;
  for (const { name, write } of deliveredFiles)
    near = (await write(target, join(folder, name), near)) ?? near;
}

/** Moves what is prepared to where it belongs, and what it replaces to where that was. Either all of it is moved, or nothing. */
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

/** Of an earlier delivery all goes: an image.tar of then would be taken for the one of now. `digest` tells that there was one. */
async function replacedBy(names: readonly string[], folder: string): Promise<string[]> {
  const present = await readdir(folder);
  const ours = present.includes("digest") ? [...names, ...deliveredNames] : names;
  return present.filter((name) => ours.includes(name));
}
