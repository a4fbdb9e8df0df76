import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { execa } from "execa";
import { withoutCachedCode } from "./cached-code.ts";
import { writeRehearsal } from "./rehearsal.ts";

/** Modules of Node that can be in a snapshot (lib/internal/main/mksnapshot.js). The others are loaded by their first use. */
const early = new Set(
  "assert buffer console constants crypto events fs fs/promises os path path/posix path/win32 process querystring stream stream/consumers stream/promises stream/web string_decoder timers timers/promises url util util/types v8 vm".split(
    " ",
  ),
);

/** A module whose exports are fetched when they are used. */
const lateModules: Plugin = {
  name: "late modules",
  setup(bundler) {
    const late = builtinModules.filter((name) => !early.has(name.replace(/^node:/, "")));
    bundler.onResolve({ filter: /^(node:)?[\w/]+$/ }, ({ path }) => {
      const name = path.replace(/^node:/, "");
      return late.includes(name) ? { path: name, namespace: "late" } : undefined;
    });
    bundler.onLoad({ filter: /.*/, namespace: "late" }, async ({ path }) => {
      const real = `process.getBuiltinModule(${JSON.stringify(path)})`;
      const names = Object.keys((await import(path)) as object).filter((name) => name !== "default");
      const getters = names.map((name) => `get ${name}() { return ${real}.${name}; },`);
      return { contents: `module.exports = {\n${getters.join("\n")}\n};`, loader: "js" };
    });
  },
};

/**
 * koffi's native part can't be in a snapshot. It is beside the bundle, as for the other commands, and loaded directly:
 * koffi's own modules, which look for it, and Node's loader of modules would take 6 ms, and the native part takes 1 ms.
 * What they add to it is deprecated.
 */
const nativeKoffi = (file: string): Plugin => ({
  name: "koffi beside the bundle",
  setup(bundler) {
    bundler.onResolve({ filter: /^koffi$/ }, ({ path }) => ({ path, namespace: "beside" }));
    bundler.onLoad({ filter: /.*/, namespace: "beside" }, () => ({
      contents: `process.dlopen(module, require("node:url").fileURLToPath(new URL(${JSON.stringify(file)}, bundleUrl)));`,
      loader: "js",
    }));
  },
});

/**
 * While a snapshot is made, calls of libc do nothing and succeed, because koffi can't be in it. Programs that start
 * from it load them by their first use.
 */
const lateCalls: Plugin = {
  name: "late calls",
  setup(bundler) {
    bundler.onResolve({ filter: /\/folder-calls\.ts$/ }, ({ path, resolveDir, namespace }) =>
      namespace === "calls" ? undefined : { path, namespace: "calls", pluginData: resolveDir },
    );
    bundler.onLoad({ filter: /.*/, namespace: "calls" }, async ({ path, pluginData: resolveDir }) => {
      const text = await readFile(join(resolveDir, path), "utf8");
      const names = Array.from(text.matchAll(/^export function (\w+)/gm), ([, name]) => name);
      const late = names.map(
        (name) => `export const ${name} = (...args) => isBuildingSnapshot() ? 0 : calls().${name}(...args);`,
      );
      const contents = `import { startupSnapshot } from "node:v8";
const { isBuildingSnapshot } = startupSnapshot;
const calls = () => require(${JSON.stringify(path)});
${late.join("\n")}`;
      return { contents, loader: "js", resolveDir };
    });
  },
};

const script = "main.cjs";

/** Where the bundle is can't be known yet. Node's program and arguments are this machine's; each start has its own. */
const banner = `Object.defineProperty(globalThis, "bundleUrl", {
  get: () => require("node:url").pathToFileURL(process.argv[1]).href
});
process.execPath = process.argv0 = "node";
process.argv.splice(0);`;

export interface Snapshot {
  /** The program's entry file. */
  readonly main: string;
  /** The file to make. It fits only the Node that runs this, and gets the time of that program, by which it is known. */
  readonly blob: string;
  /** The native part of koffi, as its path beside the bundle. */
  readonly koffi: string;
  readonly plugins: readonly Plugin[];
}

/**
 * Makes a start-up snapshot: the state of the program when it has loaded, in a file that `node --snapshot-blob BLOB
 * MAIN …` starts with (nodejs.org/api/cli.html, `--build-snapshot`). MAIN is then not run: it tells where the bundle is.
 * A snapshot holds no machine code, so it fits every processor of the same architecture.
 * @throws Error if the program, as it loads, uses what can't be in a snapshot
 */
export async function makeSnapshot({ main, blob, koffi, plugins }: Snapshot): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "snapshot-"));
  try {
    await build({
      entryPoints: [main],
      absWorkingDir: join(import.meta.dirname, ".."),
      outfile: join(folder, script),
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node24",
      charset: "ascii",
      legalComments: "none",
      plugins: [lateModules, lateCalls, nativeKoffi(koffi), ...plugins],
      define: { "import.meta.url": "bundleUrl" },
      banner: { js: banner },
      logLevel: "warning",
    });
    await escapeOthers(join(folder, script));
    await writeRehearsal(folder);
    // V8 keeps the functions that have run compiled only if Node adds its cached code of all its modules, which a put
    // uses little of, and which has 2 MB when compressed. A Node that writes another form makes slower puts.
    const whole = await take(folder, { withoutCodeCache: false });
    await writeFile(blob, withoutCachedCode(whole) ?? (await take(folder, { withoutCodeCache: true })));
  } finally {
    await rm(folder, { recursive: true });
  }
  await execa("touch", ["-r", process.execPath, blob]);
}

/**
 * Escapes what isn't ASCII and what esbuild leaves as it is: comments and regular expressions. With one such character,
 * the whole text would take two bytes a character in the snapshot.
 */
async function escapeOthers(file: string): Promise<void> {
  const text = await readFile(file, "utf8");
  const escaped = text.replaceAll(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  await writeFile(file, escaped);
}

/** Takes the snapshot, of a program that finds no variables and no paths of this machine while it loads. */
async function take(folder: string, options: { readonly withoutCodeCache: boolean }): Promise<Buffer> {
  const config = { builder: `/proc/self/cwd/${script}`, ...options };
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  const { stderr } = await execa(
    process.execPath,
    ["--snapshot-blob", "main.blob", "--build-snapshot-config", "config.json"],
    { cwd: folder, env: {}, extendEnv: false, argv0: "node" },
  );
  if (stderr !== "") throw new Error(`the snapshot may not work: ${stderr}`);
  return readFile(join(folder, "main.blob"));
}
