import { readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { errorCode } from "../host/errors.ts";
import { close, openFolder, openHostFolder, removeFolder, rename, unlink } from "./system.ts";

/** Removes a folder with all in it, however deep: Node's `rm` stops where a path gets longer than Linux allows. */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (thrown) {
    if (errorCode(thrown) !== "ENAMETOOLONG") throw thrown;
    flatten(path);
    await rm(path, { recursive: true, force: true });
  }
}

/** Moves each folder below `path` right into it, and removes it once it is empty. */
function flatten(path: string): void {
  const top = openHostFolder(path);
  let moved = 0;
  // Names that no image would have, so that one taken already is not a case to think of.
  const nextName = () => `.flattened-by-oci-build-resource-${moved++}`;
  try {
    const pending = names(top, true).map((name) => {
      const taken = nextName();
      rename(top, name, top, taken);
      return taken;
    });
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const folder = openFolder(top, name);
      try {
        for (const child of names(folder, true)) {
          const taken = nextName();
          rename(folder, child, top, taken);
          pending.push(taken);
        }
        for (const file of names(folder, false)) unlink(folder, file);
      } finally {
        close(folder);
      }
      removeFolder(top, name);
    }
  } finally {
    close(top);
  }
}

/** The names in an open folder: of folders, or of all else. One character a byte. */
function names(folder: number, folders: boolean): string[] {
  return readdirSync(`/proc/self/fd/${folder}`, { encoding: "buffer", withFileTypes: true })
    .filter((entry) => entry.isDirectory() === folders)
    .map((entry) => entry.name.toString("latin1"));
}
