import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { errorCode, UserError } from "./errors.ts";

/** A folder of mode 0700 that only this process uses. It is removed with its content when disposed of. */
export interface PrivateFolder extends AsyncDisposable {
  readonly path: string;
}

/**
 * Makes a private folder under `parent`, by default the system's temporary folder (`TMPDIR`).
 * @throws UserError if there is no such parent
 */
export async function createPrivateFolder(purpose: string, parent = tmpdir()): Promise<PrivateFolder> {
  const path = makePrivateFolder(resolve(parent), purpose);
  return {
    path,
    [Symbol.asyncDispose]: async () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }),
  };
}

function makePrivateFolder(parent: string, purpose: string): string {
  try {
    return mkdtempSync(join(parent, `oci-build-${purpose}-`));
  } catch (thrown) {
    if (errorCode(thrown) !== "ENOENT" && errorCode(thrown) !== "ENOTDIR") throw thrown;
    throw new UserError(
      `${parent}: there is no such folder, and temporary files belong there; create it, or let TMPDIR name another`,
      { cause: thrown },
    );
  }
}
