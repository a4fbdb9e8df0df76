import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { bundledResource } from "./support/runs/bundled-resource.ts";

/** Files of packages that the bundle loads before `out` reads its request, as esbuild names them above their code. */
async function loadedByPut(bundle: string): Promise<string[]> {
  const main = await readFile(join(bundle, "main.mjs"), "utf8");
  const [, out] = /import\("\.\/(out-\w+\.mjs)"\)/.exec(main) ?? [];
  assert.ok(out !== undefined, "main.mjs imports no bundle of out");
  const texts = new Map<string, string>();
  const load = async (file: string): Promise<void> => {
    if (texts.has(file)) return;
    const text = file === "main.mjs" ? main : await readFile(join(bundle, file), "utf8");
    texts.set(file, text);
    for (const [, imported = ""] of text.matchAll(/^(?:import|\} from) "\.\/([^"]+)";$/gm))
      await load(imported);
  };
  await load("main.mjs");
  await load(out);
  return [...texts.values()].flatMap((text) =>
    [...text.matchAll(/^\/\/ node_modules\/(\S+)$/gm)].map(([, file = ""]) => file),
  );
}

test("a put starts with nothing of libraries that only other puts use", async () => {
  const files = await loadedByPut(join(await bundledResource(), "dist"));
  const packages = new Set(files.map((file) => file.split("/")[0]));
  assert.ok(packages.has("zod") && packages.has("execa"), `found ${[...packages].join(", ")}`);
  // YAML is for lists of build args in files, tar for images of the inputs.
  for (const rarely of ["yaml", "tar-stream"]) assert.ok(!packages.has(rarely), `${rarely} is loaded`);
  const sdk = files.filter(
    (file) => file.startsWith("@opentelemetry/") && !file.startsWith("@opentelemetry/api/"),
  );
  assert.deepEqual(sdk, [], "what sends traces is loaded without tracing");
  const languages = files.filter((file) => file.startsWith("zod/v4/locales/"));
  assert.deepEqual(languages, ["zod/v4/locales/en.js"], "zod's messages in other languages are loaded");
});
