import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { checkout } from "../../test/support/runs/test-step.ts";

/** The program as the resource's image has it: the arguments of `node` that run it, and its environment. */
export interface Bundle {
  readonly main: string;
  /** For a get. */
  readonly env: Readonly<Record<string, string>>;
  /** For a put. */
  readonly putEnv: Readonly<Record<string, string>>;
}

/** The commit whose times later ones are held against: the one before the work on the whole put and its get. */
export const peerCommit = "05650f6";

/** Bundles what the checkout holds now. */
export async function makeBundle(): Promise<Bundle> {
  return await bundleOf(checkout, join(checkout, ".tools/compile-cache"));
}

/** A bundle of a commit, with the libraries that the checkout has now, in a folder of its own. */
export async function peerBundle(commit: string): Promise<Bundle & AsyncDisposable> {
  await using made = new AsyncDisposableStack();
  const folder = made.use(await createPrivateFolder("bench-peer"));
  const archive = await execa("git", ["-C", checkout, "archive", commit], { encoding: "buffer" });
  const tree = join(folder.path, "tree");
  await mkdir(tree);
  await execa("tar", ["-x", "-C", tree], { input: archive.stdout });
  await symlink(join(checkout, "node_modules"), join(tree, "node_modules"));
  const bundle = await bundleOf(tree, join(folder.path, "compile-cache"));
  const owned = made.move();
  // Its launcher started all commands alike.
  return { ...bundle, putEnv: bundle.env, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function bundleOf(tree: string, cache: string): Promise<Bundle> {
  await execa("node", [join(tree, "tools/build.ts")]);
  const env = { NODE_COMPILE_CACHE: cache };
  // As assets/launch.sh.
  return {
    main: join(tree, "dist/main.mjs"),
    env: { ...env, NODE_OPTIONS: "--max-semi-space-size=1" },
    putEnv: { ...env, NODE_OPTIONS: "--max-semi-space-size=16" },
  };
}
