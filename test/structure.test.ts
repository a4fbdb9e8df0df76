import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { glob, readFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { build, type Plugin } from "esbuild";
import { execa } from "execa";

const root = join(import.meta.dirname, "..");
const source = join(root, "src");

/** What a layer may import besides itself and host, which all may. Siblings don't see each other. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  "main.ts": ["commands"],
  commands: ["request", "builder", "store", "delivery", "tracing", "rootfs", "registry", "image"],
  request: ["rootfs", "registry", "image"],
  builder: ["rootfs", "registry", "image"],
  store: ["rootfs", "registry", "image"],
  delivery: ["rootfs", "registry", "image"],
  rootfs: ["image"],
  registry: ["image"],
  image: [],
  tracing: ["registry"],
  host: [],
};

/** Where a file of `src` belongs: its folder there, or its own name. */
function layerOf(file: string): string {
  return relative(source, file).split("/")[0] ?? "";
}

function mayImport(importer: string, imported: string): boolean {
  const [from, to] = [layerOf(importer), layerOf(imported)];
  return from === to || to === "host" || (allowed[from]?.includes(to) ?? false);
}

interface Import {
  readonly importer: string;
  /** A file of `src`, or the name of a package or of one of Node's modules. */
  readonly imported: string;
}

/**
 * Every import in `files`, found by esbuild's parser: of values and of types, static and dynamic, and the files
 * that workers are started from.
 */
async function importsOf(files: readonly string[]): Promise<Import[]> {
  const found: Import[] = [];
  const collect: Plugin = {
    name: "collect imports",
    setup(bundler) {
      bundler.onLoad({ filter: /\.ts$/ }, async ({ path }) => ({
        contents: showTypes(await readFile(path, "utf8")),
        loader: "ts",
      }));
      bundler.onResolve({ filter: /.*/ }, ({ path, importer, kind }) => {
        if (kind === "entry-point") return { path };
        const imported = path.startsWith(".") ? resolve(dirname(importer), path) : path;
        found.push({ importer, imported });
        return { path: imported, external: true };
      });
    },
  };
  // A build per file keeps esbuild from asking one file for the types it exports, which leave no trace in JavaScript.
  for (const file of files) {
    await build({ ...analysis, entryPoints: [file], plugins: [collect] });
  }
  return found;
}

const analysis = {
  bundle: true,
  write: false,
  format: "esm",
  platform: "node",
  target: "esnext",
  logLevel: "silent",
  // Without this an import that is only used as a type would vanish.
  tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
} as const;

/** Makes visible what esbuild drops: imports of types alone, `import("…")` as a type, workers by URL. */
function showTypes(text: string): string {
  const workers = [...text.matchAll(/new URL\(("\.[^"]+\.ts"), import\.meta\.url\)/g)].map(
    ([, path]) => path,
  );
  const types = [...text.matchAll(/\bimport\(("[^"]+")\)/g)].map(([, path]) => path);
  const added = [...workers, ...types].map((path) => `import ${path};`);
  return `${text.replaceAll(/\b(import|export) type (?=[{*\w])([^;=]*\bfrom\b)/g, "$1 $2")}\n${added.join("\n")}`;
}

async function sourceFiles(): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob("**/*.ts", { cwd: source })) files.push(join(source, file));
  return files.toSorted();
}

/** Whether the code reads the global `process`, by name or through `globalThis`. */
async function usesProcess(text: string): Promise<boolean> {
  const marker = "GLOBAL_PROCESS_IS_USED";
  const { outputFiles } = await build({
    ...analysis,
    bundle: false,
    stdin: { contents: text, loader: "ts" },
    define: { process: marker, "globalThis.process": marker, "global.process": marker },
  });
  return outputFiles[0]?.text.includes(marker) ?? false;
}

async function trackedFiles(): Promise<string[]> {
  // Files not yet committed count too, ignored ones don't.
  const { stdout } = await execa("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
  });
  return stdout.split("\0").filter((file) => file !== "" && existsSync(join(root, file)));
}

test("imports go one way: main, commands, their five helpers, rootfs and registry, image, host", async () => {
  const files = await sourceFiles();
  const imports = await importsOf(files);
  const local = imports.filter(({ imported }) => imported.startsWith(source));
  assert.ok(local.length > files.length / 2, `only ${local.length} imports seen in ${files.length} files`);
  const strange = files.filter((file) => !(layerOf(file) in allowed));
  assert.deepEqual(strange, [], "these files belong to no layer");
  const forbidden = local
    .filter(({ importer, imported }) => !mayImport(importer, imported))
    .map(({ importer, imported }) => `${relative(root, importer)} imports ${relative(root, imported)}`);
  assert.deepEqual(forbidden, []);
});

test("no files import each other in a circle, types included", async () => {
  const imports = await importsOf(await sourceFiles());
  const edges = new Map<string, string[]>();
  for (const { importer, imported } of imports) {
    // A thread's file is started by the file whose types it shares.
    if (imported.startsWith(source)) edges.set(importer, [...(edges.get(importer) ?? []), imported]);
  }
  assert.deepEqual(circlesIn(edges), []);
});

/** The circles of a graph, each as the files on it. */
function circlesIn(edges: ReadonlyMap<string, readonly string[]>): string[] {
  const circles = new Set<string>();
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at !== -1) {
      const circle = path.slice(at).map((each) => relative(root, each));
      circles.add(circle.toSorted().join(" → "));
      return;
    }
    if (done.has(file)) return;
    for (const next of edges.get(file) ?? []) walk(next, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) walk(file, []);
  return [...circles];
}

test("the search for circles finds those through other files, and no others", () => {
  const edges = new Map([
    ["a", ["b", "c"]],
    ["b", ["c"]],
    ["c", ["d"]],
    ["d", ["b"]],
  ]);
  assert.equal(circlesIn(edges).length, 1);
  assert.deepEqual(
    circlesIn(
      new Map([
        ["a", ["b", "c"]],
        ["b", ["c"]],
      ]),
    ),
    [],
  );
});

/** What every file of a thread has by this name: it is the same thing in each. */
const sharedByThreads = ["answer", "defaults", "port", "shared"];

test("a top-level name is defined in one file alone", async () => {
  const places = new Map<string, string[]>();
  for (const file of await sourceFiles()) {
    for (const name of topLevelNames(await readFile(file, "utf8"))) {
      places.set(name, [...(places.get(name) ?? []), relative(root, file)]);
    }
  }
  assert.ok(places.size > 500, `only ${places.size} names were found`);
  const twice = [...places].filter(([name, files]) => files.length > 1 && !sharedByThreads.includes(name));
  assert.deepEqual(twice, []);
});

/** The names that a file defines at its top level; a schema and its type are one. */
function topLevelNames(text: string): ReadonlySet<string> {
  const found = text.matchAll(
    /^(?:export )?(?:declare )?(?:async )?(?:const|let|function\*?|class|interface|type|enum) ([A-Za-z0-9_$]+)/gm,
  );
  return new Set(Array.from(found, ([, name = ""]) => name));
}

test("the search for imports sees every kind of import", () => {
  const text = showTypes(`
    import type { A } from "./a.ts";
    import { type B, b } from "./b.ts";
    export type { C } from "./c.ts";
    import type * as D from "./d.ts";
    export type E = import("./e.ts").E;
    const worker = new URL("./f.ts", import.meta.url);
    export type Local = { from: string };
  `);
  for (const line of [
    'import { A } from "./a.ts"',
    'import { type B, b } from "./b.ts"',
    'export { C } from "./c.ts"',
    'import * as D from "./d.ts"',
    'import "./e.ts"',
    'import "./f.ts"',
    "export type Local = { from: string }",
  ]) {
    assert.ok(text.includes(line), `${line} is missing in ${text}`);
  }
});

test("the source imports no test, tool or dependency for development", async () => {
  const { dependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const known = new Set(Object.keys(dependencies));
  const imports = await importsOf(await sourceFiles());
  const others = imports
    .filter(({ imported }) => !imported.startsWith(`${source}/`) && !imported.startsWith("node:"))
    // It has the program's version, and becomes part of the bundle.
    .filter(({ imported }) => imported !== join(root, "package.json"))
    .filter(({ imported }) => !known.has(packageOf(imported)))
    .map(({ importer, imported }) => `${relative(root, importer)} imports ${imported}`);
  assert.deepEqual(others, []);
});

test("no package is imported when it is needed: in the bundle a CommonJS package then has no names", async () => {
  const late: string[] = [];
  for (const file of await sourceFiles()) {
    const found = /\bawait import\("[^.][^"]*"\)/.exec(await readFile(file, "utf8"));
    if (found !== null) late.push(`${relative(root, file)}: ${found[0]}`);
  }
  assert.deepEqual(late, []);
});

function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

test("every dependency has one version, and what it has to be is written down", async () => {
  const [manifest, lock] = await Promise.all(
    ["package.json", "package-lock.json"].map((file) => readFile(join(root, file), "utf8")),
  );
  const { dependencies, devDependencies } = JSON.parse(manifest ?? "");
  const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(
    ([, version]) => !/^\d+\.\d+\.\d+$/.test(String(version)),
  );
  assert.deepEqual(loose, []);
  const { packages }: { packages: Record<string, Record<string, unknown>> } = JSON.parse(lock ?? "");
  const unproven = Object.entries(packages).filter(
    ([name, { integrity }]) => name !== "" && !/^sha512-[A-Za-z0-9+/]{86}==$/.test(String(integrity)),
  );
  assert.deepEqual(unproven, []);
});

test("only the outermost file touches the process", async () => {
  const files = (await sourceFiles()).filter((file) => file !== join(source, "main.ts"));
  const imports = await importsOf(files);
  const importing = imports
    .filter(({ imported }) => imported === "node:process" || imported === "process")
    .map(({ importer }) => relative(root, importer));
  assert.deepEqual(importing, []);
  for (const file of files) {
    assert.equal(await usesProcess(await readFile(file, "utf8")), false, relative(root, file));
  }
});

test("the search for the process tells the global from other things of that name", async () => {
  assert.equal(await usesProcess("export const cwd = process.cwd();"), true);
  assert.equal(await usesProcess("export const { env } = globalThis.process;"), true);
  assert.equal(
    await usesProcess("export function f(process: { pid: number }) { return process.pid; }"),
    false,
  );
  assert.equal(await usesProcess("// process\nexport const x = { process: 1 }.process;"), false);
});

test("no file of code is over 400 lines", async () => {
  const long: string[] = [];
  for (const file of (await trackedFiles()).filter((name) => /\.(ts|sh)$|^assets\//.test(name))) {
    const lines = (await readFile(join(root, file), "utf8")).split("\n").length - 1;
    if (lines > 400) long.push(`${file}: ${lines} lines`);
  }
  assert.deepEqual(long, []);
});

test("no file names a folder or a registry of the machine it was written on", async () => {
  const { stdout: registry } = await execa("npm", ["config", "get", "registry"], { cwd: root });
  const { stdout: proxies } = await execa("go", ["env", "GOPROXY"], { cwd: root });
  const urls = [registry, ...proxies.split(/[,|]/)].filter((url) => URL.canParse(url));
  const names = [root, ...urls.map((url) => new URL(url).hostname)];
  const found: string[] = [];
  for (const file of await trackedFiles()) {
    const text = await readFile(join(root, file), "utf8");
    for (const name of names) if (text.includes(name)) found.push(`${file} names ${name}`);
  }
  assert.deepEqual(found, []);
});
