import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { jsonSchemas } from "./schemas.ts";
import { withTables } from "./tables.ts";

/** Writes what is published of the params anew (`npm run params`): README's tables and the JSON Schemas. */
const root = join(import.meta.dirname, "../..");
const readme = join(root, "README.md");
await writeFile(readme, withTables(await readFile(readme, "utf8")));
await mkdir(join(root, "schemas"), { recursive: true });
for (const [name, schema] of Object.entries(jsonSchemas())) {
  await writeFile(join(root, "schemas", name), `${JSON.stringify(schema, undefined, 2)}\n`);
}
