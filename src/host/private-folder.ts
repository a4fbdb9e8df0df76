import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder of mode 0700 that only this process uses. It is removed with its content when disposed of. */
export interface PrivateFolder extends AsyncDisposable {
  readonly path: string;
}

/** Makes a private folder under `parent`, by default the system's temporary folder. */
export async function createPrivateFolder(purpose: string, parent = tmpdir()): Promise<PrivateFolder> {
  const path = mkdtempSync(join(parent, `oci-build-${purpose}-`));
  return {
    path,
    [Symbol.asyncDispose]: async () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }),
  };
}
