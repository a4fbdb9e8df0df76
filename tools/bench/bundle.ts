import { cp, rename, symlink } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { checkout } from "../../test/support/runs/test-step.ts";

/** The executables as the resource's image has them in `/opt/resource`, with the bundle beside them. */
export interface Bundle extends AsyncDisposable {
  readonly check: string;
  readonly in: string;
  readonly out: string;
}

/** The commit whose times later ones are held against: the one before the work on the whole put and its get. */
export const peerCommit = "05650f6";

/** Bundles what the checkout holds now. */
export async function makeBundle(): Promise<Bundle> {
  await using made = new AsyncDisposableStack();
  const folder = made.use(await createPrivateFolder("bench-bundle"));
  await cp(join(checkout, "assets"), folder.path, { recursive: true });
  await execa("node", [join(checkout, "tools/build.ts"), join(folder.path, "dist")]);
  const owned = made.move();
  return { ...executablesIn(folder.path), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A bundle of a commit, with the libraries that the checkout has now. */
export async function peerBundle(commit: string): Promise<Bundle> {
  await using made = new AsyncDisposableStack();
  const folder = made.use(await createPrivateFolder("bench-peer"));
  const archive = await execa("git", ["-C", checkout, "archive", commit], { encoding: "buffer" });
  await execa("tar", ["-x", "-C", folder.path], { input: archive.stdout });
  await symlink(join(checkout, "node_modules"), join(folder.path, "node_modules"));
  await execa("node", [join(folder.path, "tools/build.ts")]);
  const resource = join(folder.path, "assets");
  await rename(join(folder.path, "dist"), join(resource, "dist"));
  const owned = made.move();
  return { ...executablesIn(resource), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function executablesIn(folder: string): Omit<Bundle, keyof AsyncDisposable> {
  return { check: join(folder, "check"), in: join(folder, "in"), out: join(folder, "out") };
}
