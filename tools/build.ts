import { cp, glob, mkdir, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { build, type Plugin } from "esbuild";
import { makeSnapshot } from "./snapshot.ts";

/**
 * Bundles the program for a quick start (`npm run build [FOLDER]`): `dist/main.mjs`, one file per worker beside it, what they
 * share in files of its own, and koffi as it is, since its native part can't be bundled. Names stay readable, so a
 * stack says where it broke. Beside it `dist/main.blob`, a start-up snapshot for the commands that people wait for.
 */
const root = join(import.meta.dirname, "..");
const source = join(root, "src");
const dist = process.argv[2] ?? join(root, "dist");

/** How a file of `src` names the worker beside it; in `dist` all files are beside each other. */
const workerReference = /new URL\("(\.\.?\/[^"]+)\.ts", import\.meta\.url\)/g;

/** The worker entry files of `src`, found by how they are named where they are started. */
async function findWorkers(): Promise<string[]> {
  const workers = new Set<string>();
  for await (const name of glob("**/*.ts", { cwd: source })) {
    const file = join(source, name);
    for (const [, path] of (await readFile(file, "utf8")).matchAll(workerReference)) {
      workers.add(join(dirname(file), `${path}.ts`));
    }
  }
  return [...workers].toSorted();
}

/** Points a worker's URL to its bundle. */
const workerUrls: Plugin = {
  name: "worker URLs",
  setup(bundler) {
    bundler.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      if (relative(source, path).startsWith("..")) return undefined;
      const text = await readFile(path, "utf8");
      const contents = text.replaceAll(
        workerReference,
        (_, worker: string) => `new URL("./${basename(worker)}.mjs", import.meta.url)`,
      );
      return { contents, loader: "ts" };
    });
  },
};

const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
const otherLibc = header.glibcVersionRuntime === undefined ? /\/linux_[^/]+$/ : /\/musl_[^/]+$/;

/** Leaves out the C++ that koffi's native part comes from, and that part for the C library that isn't here. */
const isRun = (path: string) =>
  !/\/(vendor|doc|abi)$|\.(cc|hh|inc|def|md)$|CMakeLists\.txt$/.test(path) && !otherLibc.test(path);

/**
 * Copies koffi and its native part for this platform as npm installed them.
 * @returns the path of the native part in the folder
 */
async function copyKoffi(to: string): Promise<string> {
  const from = join(root, "node_modules");
  for (const name of ["koffi", "@koromix"]) {
    await cp(join(from, name), join(to, name), { recursive: true, filter: isRun });
  }
  for await (const native of glob("@koromix/*/*/koffi.node", { cwd: to })) return native;
  throw new Error("koffi has no native part for this platform");
}

const staging = `${dist}.new`;
await rm(staging, { recursive: true, force: true });
await mkdir(staging, { recursive: true });
const entries = [join(source, "main.ts"), ...(await findWorkers())];
const names = entries.map((entry) => basename(entry, ".ts"));
const twice = names.find((name, index) => names.indexOf(name) !== index);
if (twice !== undefined) throw new Error(`two entry files are called ${twice}.ts: give one another name`);

await build({
  entryPoints: entries.map((entry) => ({ in: entry, out: basename(entry, ".ts") })),
  outdir: staging,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  // In one file, every command would wait for all that any of them imports, Node's HTTP first of all.
  splitting: true,
  platform: "node",
  format: "esm",
  target: "node24",
  charset: "utf8",
  legalComments: "linked",
  external: ["koffi"],
  plugins: [workerUrls],
  // CommonJS dependencies ask for Node's own modules by require, which an ES module has to make for itself.
  banner: {
    js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);',
  },
  logLevel: "warning",
});
const koffi = await copyKoffi(join(staging, "node_modules"));
await makeSnapshot({
  main: join(source, "main.ts"),
  blob: join(staging, "main.blob"),
  koffi: `node_modules/${koffi}`,
  plugins: [workerUrls],
});
await rm(dist, { recursive: true, force: true });
await rename(staging, dist);
