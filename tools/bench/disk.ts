import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { checkout } from "../../test/support/runs/test-step.ts";

const bytes = 16 * 2 ** 30;

/**
 * Does work on an empty ext4 of its own, in a sparse file beside the tools. On one that has just lost many files,
 * making new ones takes several times as long, so whoever comes second would lose.
 */
export async function onFreshDisk<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const cache = join(checkout, ".tools/cache");
  await mkdir(cache, { recursive: true });
  await using place = await createPrivateFolder("bench-disk", cache);
  const image = join(place.path, "disk");
  await using file = await open(image, "wx");
  await file.truncate(bytes);
  // What ext4 would initialise in the background, while the work is timed, is left out or done now.
  const features = ["-O", "^has_journal", "-E", "lazy_itable_init=0", "-N", "2000000"];
  await execa("mkfs.ext4", ["-q", "-F", ...features, image]);
  const folder = join(place.path, "mounted");
  await mkdir(folder);
  await execa("mount", ["-o", "loop", image, folder]);
  try {
    return await work(folder);
  } finally {
    await execa("umount", [folder]);
  }
}

/** Does work in a folder whose files are in memory only. */
export async function onTmpfs<T>(work: (folder: string) => Promise<T>): Promise<T> {
  await using place = await createPrivateFolder("bench-memory");
  const folder = join(place.path, "mounted");
  await mkdir(folder);
  await execa("mount", ["-t", "tmpfs", "tmpfs", folder]);
  try {
    return await work(folder);
  } finally {
    await execa("umount", [folder]);
  }
}
