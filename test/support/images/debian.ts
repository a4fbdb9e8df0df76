import { createHash } from "node:crypto";
import { access, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { withLock } from "../runs/lock.ts";
import { checkout, toolEnvironment } from "../runs/test-step.ts";
import { type Registry, startRegistry } from "../servers/registry.ts";
import { pushLayout, writeLayout } from "./image-writer.ts";

const suite = "bookworm";
/** The image's time, so that equal packages make an equal image. */
const epoch = Date.UTC(2024, 0, 1) / 1000;
const localCertificates = "/usr/local/share/ca-certificates";

/** Starts a registry that serves as docker.io's mirror: `library/debian:bookworm-slim` and `library/busybox:latest`. */
export async function startDockerHub(): Promise<Registry> {
  await using resources = new AsyncDisposableStack();
  const registry = resources.use(await startRegistry());
  await using folder = await createPrivateFolder("test-hub");
  const busybox = await writeLayout(folder.path, { config: { Env: ["PATH=/bin"], Cmd: ["sh"] } });
  await pushLayout(busybox.folder, `${registry.host}/library/busybox:latest`);
  await pushLayout(await debianLayout(), `${registry.host}/library/debian:${suite}-slim`);
  const owned = resources.move();
  return { ...registry, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/**
 * The folder of an OCI layout with a Debian 12 root, as `debian:bookworm-slim` is: minimal, without manuals. It
 * keeps this machine's package sources, apt settings and local certificate authorities, so that `apt-get install`
 * works wherever it works on the machine itself. Made once, with mmdebstrap(1), and kept beside the tools.
 */
export async function debianLayout(): Promise<string> {
  const recipe = await readRecipe();
  const key = createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 16);
  const cache = join(checkout, ".tools/cache");
  const layout = join(cache, `debian-${suite}-${key}`);
  await mkdir(cache, { recursive: true });
  await withLock(join(cache, `debian-${suite}.lock`), async () => {
    if (await exists(layout)) return;
    await using work = await createPrivateFolder("test-debian", cache);
    const tar = await readFile(await makeRoot(work.path, recipe));
    const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const config = { Env: [path], Cmd: ["bash"] };
    const made = await writeLayout(join(work.path, "layout"), { layers: [tar], config });
    await rename(made.folder, layout);
  });
  return layout;
}

/**
 * The file of a tar archive with such a root and more packages in it, devices left out. Made once, and kept beside
 * the tools.
 */
export async function debianRoot(packages: readonly string[]): Promise<string> {
  const recipe = { ...(await readRecipe()), packages };
  const key = createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 16);
  const cache = join(checkout, ".tools/cache");
  const file = join(cache, `debian-${suite}-${key}.tar`);
  await mkdir(cache, { recursive: true });
  await withLock(join(cache, `debian-${suite}-root.lock`), async () => {
    if (await exists(file)) return;
    await using work = await createPrivateFolder("test-debian", cache);
    await rename(await makeRoot(work.path, recipe), file);
  });
  return file;
}

/** All that the root is made from. */
interface Recipe {
  /** Besides the minimal ones. */
  readonly packages?: readonly string[];
  /** Package sources in deb822 form or one a line; empty for Debian's own. */
  readonly sources: readonly { readonly name: string; readonly text: string }[];
  readonly apt: string;
  readonly dpkg: string;
  readonly certificates: readonly { readonly name: string; readonly text: string }[];
}

async function readRecipe(): Promise<Recipe> {
  // Debian's own alone: the keys of others are not in the root.
  const named = new RegExp(`\\s${suite}\\s`);
  const debians = (text: string) => named.test(text) && !/signed-by(?!.*debian-archive)/i.test(text);
  const sources = [
    ...(await readFiles("/etc/apt", /^sources\.list$/)),
    ...(await readFiles("/etc/apt/sources.list.d", /\.(list|sources)$/)),
  ].filter((file) => debians(file.text));
  const excluded = ["man", "locale", "info", "doc"].map((folder) => `path-exclude=/usr/share/${folder}/*\n`);
  return {
    sources,
    apt: await aptSettings(),
    dpkg: `${excluded.join("")}path-include=/usr/share/doc/*/copyright\n`,
    certificates: await readFiles(localCertificates, /\.crt$/),
  };
}

/** How apt fetches on this machine, where that differs from apt's defaults: proxies, time-outs, checks of dates. */
async function aptSettings(): Promise<string> {
  await using folder = await createPrivateFolder("test-apt");
  const defaults = join(folder.path, "apt.conf");
  await writeFile(defaults, 'Dir::Etc::main "/nonexistent"; Dir::Etc::parts "/nonexistent";');
  const builtIn = new Set(await acquireOptions({ APT_CONFIG: defaults }));
  const set = (await acquireOptions({})).filter((line) => !builtIn.has(line));
  return set.map((line) => `${line}\n`).join("");
}

async function acquireOptions(env: Readonly<Record<string, string>>): Promise<string[]> {
  const { stdout } = await execa("apt-config", ["dump"], { env, lines: true });
  return stdout.filter((line) => /^Acquire::(?!IndexTargets|Languages)/.test(line));
}

/** Makes the root and answers the file of a tar archive with it, in `folder`. */
async function makeRoot(folder: string, recipe: Recipe): Promise<string> {
  const apt = join(folder, "apt.conf");
  const dpkg = join(folder, "dpkg.cfg");
  const root = join(folder, "root.tar");
  await writeFile(apt, recipe.apt);
  await writeFile(dpkg, recipe.dpkg);
  const sources = recipe.sources.map((file) => ({ ...file, path: join(folder, file.name) }));
  for (const { path, text } of sources) await writeFile(path, text);
  const certificates = recipe.certificates.map(({ name }) => join(localCertificates, name));
  const hooks = [
    ...(certificates.length > 0 ? [`mkdir -p "$1${localCertificates}"`] : []),
    ...certificates.map((path) => `cp '${path}' "$1${localCertificates}/"`),
    // A container's own are mounted over these; the machine's don't belong into an image.
    'rm -f "$1/etc/resolv.conf" "$1/etc/hostname"',
  ];
  await execa(
    "mmdebstrap",
    [
      "--mode=root",
      "--variant=minbase",
      "--format=tar",
      // No device nodes, as in the published image.
      "--skip=output/dev",
      ...(recipe.packages ?? []).map((name) => `--include=${name}`),
      `--aptopt=${apt}`,
      `--dpkgopt=${dpkg}`,
      ...hooks.map((hook) => `--customize-hook=${hook}`),
      suite,
      root,
      ...sources.map((source) => source.path),
    ],
    { env: toolEnvironment({ SOURCE_DATE_EPOCH: String(epoch), TMPDIR: folder }), stdin: "ignore" },
  );
  return root;
}

/** The text files of a folder whose names match, sorted by name; none if there is no such folder. */
async function readFiles(folder: string, names: RegExp): Promise<{ name: string; text: string }[]> {
  const found = (await exists(folder)) ? await readdir(folder) : [];
  const chosen = found.filter((name) => names.test(name)).toSorted();
  return Promise.all(
    chosen.map(async (name) => ({ name, text: await readFile(join(folder, name), "utf8") })),
  );
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
