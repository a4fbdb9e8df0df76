import { mkdir, open } from "node:fs/promises";
import { execa } from "execa";
import { toolEnvironment } from "./test-step.ts";

/**
 * A program's arguments by which another one runs with a small disk of its own at a folder: a tmpfs(5) in a mount
 * namespace, which goes with the last process in it.
 * @param options of mount(8), such as `size=1m`, `nr_inodes=5`, `ro`
 */
export function withDisk(folder: string, options: string): string[] {
  const script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", script, "sh", options, folder];
}

/** The same, but what is on the disk when the program has ended is listed in a file (find(1), relative names). */
export function withListedDisk(folder: string, options: string, listing: string): string[] {
  const script =
    'mount -t tmpfs -o "$1" tmpfs "$2" && disk=$2 listing=$3 && shift 3 && { "$@"; status=$?; (cd "$disk" && find . -mindepth 1) > "$listing"; exit $status; }';
  return ["unshare", "--mount", "sh", "-c", script, "sh", options, folder, listing];
}

/**
 * A program's arguments by which another one runs with a disk of its own at a folder: a filesystem in a file, mounted
 * in a mount namespace, so it goes with the last process in it. A folder is copied there before; when the program has
 * ended, what blocks its files have is listed in a file, as filefrag(8) shows it.
 */
export async function withFilesystem(
  type: "xfs" | "btrfs",
  { disk, from, listing }: { disk: string; from: string; listing: string },
): Promise<string[]> {
  const image = `${disk}.${type}`;
  await using file = await open(image, "wx");
  await file.truncate(400 * 2 ** 20); // xfs wants 300 MB. They are a hole.
  await execa(`mkfs.${type}`, ["-q", image], { env: toolEnvironment() });
  await mkdir(disk);
  const script =
    'mount -o loop "$1" "$2" && disk=$2 from=$3 listing=$4 && cp -R "$from" "$disk" && shift 4 && { "$@"; status=$?; find "$disk" -type f -exec filefrag -v {} + > "$listing"; exit $status; }';
  return ["unshare", "--mount", "sh", "-c", script, "sh", image, disk, from, listing];
}
