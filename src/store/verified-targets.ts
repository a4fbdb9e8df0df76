import { UserError } from "../host/errors.ts";
import type { Blobs } from "../image/blobs.ts";
import type { BuildVersion } from "../image/build-version.ts";
import type { Digest } from "../image/digest.ts";
import { readTree, verifyVersion } from "../image/image-tree.ts";
import type { Build, BuiltTarget } from "./build.ts";
import type { StoredBuild, StoredTarget } from "./store.ts";

/**
 * Reads the image tree of each target of a build index and verifies it against the version. The build index itself
 * is covered by no digest.
 * @throws UserError if the build has other targets or other images than the version names
 */
export async function verifiedTargets(
  { targets: [main, ...others] }: Build,
  version: BuildVersion,
  blobs: Blobs,
  signal: AbortSignal,
): Promise<StoredBuild["targets"]> {
  const names = others.map(({ name }) => name).toSorted();
  const expected = version.targets.map(({ name }) => name).toSorted();
  if (names.join() !== expected.join()) {
    throw new UserError(
      `${blobs.where}: the build stored as version ${version.digest} holds ${targetList(names)}, and the version names ${targetList(expected)}. It was replaced; run the put again`,
    );
  }
  const verified = async <T extends BuiltTarget>(target: T, digest: Digest): Promise<StoredTarget<T>> => {
    const tree = await readTree(blobs, target.descriptor, signal);
    verifyVersion(tree, digest, blobs.where);
    return { ...target, tree };
  };
  const additional: StoredBuild["targets"][1][] = [];
  const first = await verified(main, version.digest);
  for (const { name, digest } of version.targets) {
    const target = others.find((other) => other.name === name);
    if (target !== undefined) additional.push(await verified(target, digest));
  }
  return [first, ...additional];
}

function targetList(names: readonly string[]): string {
  return names.length === 0 ? "no additional targets" : `the additional targets ${names.join(", ")}`;
}
