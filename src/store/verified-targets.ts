import { UserError } from "../host/errors.ts";
import type { Blobs } from "../image/blobs.ts";
import { type BuildVersion, layersOfPut } from "../image/build-version.ts";
import type { Digest } from "../image/digest.ts";
import { isSingleImage, readTree, verifyVersion } from "../image/image-tree.ts";
import { layersDigest } from "../image/proven-layers.ts";
import type { Build, BuiltTarget } from "./build.ts";
import type { StoredBuild, StoredTarget } from "./store.ts";

/**
 * Reads the image tree of each target of a build index and verifies it against the version. The build index itself
 * is covered by no digest.
 * @throws UserError if the build has other targets or other images than the version names
 */
export async function verifiedTargets(
  build: Build,
  version: BuildVersion,
  blobs: Blobs,
  signal: AbortSignal,
): Promise<Pick<StoredBuild, "targets" | "layersAreProven">> {
  const {
    targets: [main, ...others],
  } = build;
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
  const targets: StoredBuild["targets"] = [first, ...additional];
  return { targets, layersAreProven: areLayersProven(build, version, targets) };
}

/**
 * Whether the version vouches for the diff IDs of all layers, so that a get need not compute them.
 *
 * The version names its layers in `put`, or names only indexes, whose digests are over all manifests. A digest of layers
 * in the build index counts only for the latter: a config digest is the same over every layer, and the build index can be
 * written by everyone who can write to the store. With one that is forged, a get delivers nothing else than the bytes
 * that the put has stored under that index.
 */
function areLayersProven(build: Build, { put }: BuildVersion, targets: StoredBuild["targets"]): boolean {
  const isFixed = targets.every(({ tree }) => !isSingleImage(tree));
  const named = (put && layersOfPut(put)) ?? (isFixed ? build.put.layers : undefined);
  return named !== undefined && named === layersDigest(targets.flatMap(({ tree }) => tree.images));
}

function targetList(names: readonly string[]): string {
  return names.length === 0 ? "no additional targets" : `the additional targets ${names.join(", ")}`;
}
