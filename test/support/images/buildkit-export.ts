import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { toolEnvironment } from "../runs/test-step.ts";
import type { BuildkitDaemon } from "../servers/buildkit.ts";
import type { RawMember } from "../tar/raw-tar.ts";
import { treeOfTar } from "../tar/tar-tree.ts";
import { assertSameTree, showBytes, type Tree, type TreeEntry } from "../tar/trees.ts";
import { generateImage } from "./generated-image.ts";
import type { MadeLayout } from "./image-writer.ts";
import type { StackOptions } from "./layer-stacks.ts";

/**
 * Asserts that a generated image unpacks to the tree that BuildKit exports of it; answers how many entries it has.
 * @param daemon has the native snapshotter: into overlayfs, containerd can't link to files of lower layers
 */
export async function assertUnpackedAsByBuildkit(
  daemon: BuildkitDaemon,
  options: StackOptions,
): Promise<number> {
  await using place = await createPrivateFolder("test-differential");
  const { layers, layout, tree } = await generateImage(place.path, options);
  const since = BigInt(Math.floor(Date.now() / 1000)) * 1_000_000_000n;
  const theirs = treeOfTar(await exportTar(daemon, layout, join(place.path, "export")));
  assertSameTree(theirs, knownOfBuildkit({ layers, tree, theirs, since }));
  return tree.size;
}

/** What BuildKit's `type=tar` exports of a build that is nothing but `FROM` this image. */
async function exportTar(daemon: BuildkitDaemon, layout: MadeLayout, folder: string): Promise<Buffer> {
  await mkdir(folder);
  await writeFile(join(folder, "Dockerfile"), "FROM base\n");
  const archive = join(folder, "export.tar");
  const inputs = ["--local", `context=${folder}`, "--local", `dockerfile=${folder}`];
  const base = ["--oci-layout", `base=${layout.folder}`];
  const named = ["--opt", `context:base=oci-layout://base@${layout.descriptor.digest}`];
  const output = ["--output", `type=tar,dest=${archive}`];
  const build = ["--addr", daemon.address, "build", "--frontend", "dockerfile.v0"];
  await execa("buildctl", [...build, ...inputs, ...base, ...named, ...output], { env: toolEnvironment() });
  return readFile(archive);
}

interface Known {
  readonly layers: readonly (readonly RawMember[])[];
  /** Ours. */
  readonly tree: Tree;
  readonly theirs: Tree;
  /** When theirs wasn't begun yet: nanoseconds, whole seconds. */
  readonly since: bigint;
}

/** Our tree with what BuildKit is known to have otherwise (its containerd 2, fsutil and Go's archive/tar), and nothing more. */
function knownOfBuildkit({ layers, tree, theirs, since }: Known): Tree {
  const inTop = new Set(layers.at(-1)?.map(({ path }) => shown(path)));
  const expected = [...tree].flatMap(([path, entry]): [string, TreeEntry][] => {
    // fsutil's walk leaves the root out.
    if (path === ".") return [];
    const found = theirs.get(path);
    const known = { ...entry, mtime: knownTime(entry.mtime) };
    if (known.type === "folder") {
      // The native snapshotter copies the layer below: what it puts into a folder comes after the folder's time.
      if (!inTop.has(path) && found !== undefined && found.mtime >= since) known.mtime = found.mtime;
      return [[path, { ...known, xattrs: withXattrsBelow(layers, path, { known, found }) }]];
    }
    if (known.type === "file" || known.hardlinks === undefined) return [[path, known]];
    // fsutil gives a symlink's target the place of its first name; the native snapshotter copies FIFOs and devices apart.
    const { hardlinks, ...alone } = known;
    const linked = found?.hardlinks;
    const isLinked = known.type !== "symlink" && linked?.every((name) => hardlinks.includes(name)) === true;
    return [[path, isLinked ? { ...alone, hardlinks: linked } : alone]];
  });
  return new Map(expected);
}

/** containerd knows no time before 1970; Go's archive/tar rounds to seconds where no format is asked for. */
function knownTime(time: bigint): bigint {
  const bounded = time < 0n ? 0n : time;
  return ((bounded + 500_000_000n) / 1_000_000_000n) * 1_000_000_000n;
}

/**
 * containerd leaves a folder the extended attributes that a lower layer has given it, where a higher one has the
 * folder without them.
 */
function withXattrsBelow(
  layers: readonly (readonly RawMember[])[],
  folder: string,
  { known, found }: { known: TreeEntry; found: TreeEntry | undefined },
): Record<string, string> {
  const below = layers
    .flat()
    .filter(({ flag, path }) => flag === "5" && shown(path) === folder)
    .flatMap(({ xattrs = {} }) => Object.entries(xattrs))
    .map(([name, value]) => [name, value.toString("hex")] as const)
    .filter(([name, value]) => found?.xattrs[name] === value);
  const all = [...below, ...Object.entries(known.xattrs)];
  return Object.fromEntries(all.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function shown(path: string): string {
  return showBytes(Buffer.from(path.replace(/\/$/, ""), "latin1"));
}
