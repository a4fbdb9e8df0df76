import { realpathSync, statSync } from "node:fs";
import { join, sep } from "node:path";
import { errorCode, UserError } from "../../host/errors.ts";
import { cleanName, type FileRange, type ImageFiles, shownName } from "./image-files.ts";

/**
 * The files of a folder. Symlinks are followed within `roots`, because build tools (Bazel) make folders of links. A
 * link that leads elsewhere is refused.
 * @param roots real paths
 */
export function folderFiles(folder: string, roots: readonly string[], where: string): ImageFiles {
  return {
    where,
    find(name) {
      const clean = cleanName(name);
      const subject = `${where}: ${shownName(name)}`;
      if (clean === "" || clean.startsWith("..")) throw new UserError(`${subject} leads out of the folder`);
      const path = realPathOf(join(folder, clean), subject);
      if (path === undefined) return undefined;
      if (!roots.some((root) => path.startsWith(root === sep ? sep : root + sep))) {
        throw new UserError(
          `${subject} is reached by a symbolic link that leads out of the inputs; copy what it points to`,
        );
      }
      return wholeFile(path, subject);
    },
  };
}

function realPathOf(path: string, subject: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (cause) {
    const code = errorCode(cause) ?? "";
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (code === "ELOOP")
      throw new UserError(`${subject} is a symbolic link that leads back to itself`, { cause });
    throw cause;
  }
}

/**
 * The range of a whole file.
 * @throws UserError when it isn't a regular file
 */
export function wholeFile(path: string, subject: string): FileRange {
  const found = statSync(path);
  if (!found.isFile()) throw new UserError(`${subject} is not a regular file`);
  return { path, start: 0, size: found.size, isWholeFile: true };
}
