import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { writeSmallFile } from "../../host/atomic-write.ts";

/**
 * Writes content to a file of mode 0600. Secrets are passed in files because others can read argument lists and
 * environments.
 */
export async function privateFile(
  workspace: string,
  purpose: string,
  name: string,
  content: string | Buffer,
): Promise<string> {
  const folder = join(workspace, purpose);
  mkdirSync(folder, { mode: 0o700 });
  const file = join(folder, name);
  await writeSmallFile(file, content, { mode: 0o600, flag: "wx" });
  return file;
}
