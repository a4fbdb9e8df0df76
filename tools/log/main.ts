import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withLogs } from "./page.ts";
import { runPuts } from "./puts.ts";

/** Writes the logs that docs/log.md shows anew (`npm run log`), from puts that are run for real. */
const page = join(import.meta.dirname, "../../docs/log.md");
await writeFile(page, withLogs(await readFile(page, "utf8"), await runPuts()));
