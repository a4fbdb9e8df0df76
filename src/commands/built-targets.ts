import type { SolveResult } from "../builder/solve/solve-all.ts";
import type { StepContext } from "../host/step-context.ts";
import { type BuildVersion, sortedTargets } from "../image/build-version.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { Digest } from "../image/digest.ts";
import { readTree, versionOf } from "../image/image-tree.ts";
import { isProven, layersDigest, type ProvenLayers } from "../image/proven-layers.ts";
import type { PutParams } from "../request/put-params.ts";
import type { AdditionalTarget, BuiltTarget } from "../store/build.ts";
import type { Stage, StoredTarget } from "../store/store.ts";
import type { RecordedResult } from "./build-record.ts";

/** The results of a put's build, the main target first. */
export type BuiltTargets = readonly [StoredTarget<BuiltTarget>, ...StoredTarget<AdditionalTarget>[]];

/** Reads the result of each target's solve from the stage. */
export async function readBuiltTargets(
  stage: Stage,
  results: readonly [SolveResult, ...SolveResult[]],
  { additionalTargets, targetTags }: PutParams,
  { signal }: StepContext,
): Promise<BuiltTargets> {
  const [first, ...others] = results;
  const { target } = first;
  const descriptor = exportedBy(first);
  const main = { name: target, descriptor, tree: await readTree(stage.blobs, descriptor, signal) };
  const additional: StoredTarget<AdditionalTarget>[] = [];
  for (const name of additionalTargets) {
    const found = others.find((result) => result.target === name);
    if (found === undefined) throw new Error(`the build gave no result for target ${name}`);
    const built = exportedBy(found);
    const tree = await readTree(stage.blobs, built, signal);
    additional.push({ name, descriptor: built, tree, tags: targetTags.get(name) ?? [] });
  }
  return [main, ...additional];
}

function exportedBy({ target, descriptor }: SolveResult): Descriptor {
  if (descriptor === undefined) throw new Error(`target ${target} was not exported`);
  return descriptor;
}

/** The part of the version that depends only on what was built. */
export function contentVersion([main, ...others]: BuiltTargets): Pick<BuildVersion, "digest" | "targets"> {
  return {
    digest: versionOf(main.tree),
    targets: sortedTargets(others.map(({ name, tree }) => ({ name, digest: versionOf(tree) }))),
  };
}

/**
 * The digest of all layers ({@link layersDigest}), if all are proven. Undefined otherwise.
 */
export function provenLayers([main, ...others]: BuiltTargets, proven: ProvenLayers): Digest | undefined {
  const images = [main, ...sortedTargets(others)].flatMap(({ tree }) => tree.images);
  return images.every((image) => isProven(image, proven)) ? layersDigest(images) : undefined;
}

/**
 * The targets for the record of their build.
 * @param tags the main target's
 */
export function recordedResults(
  [main, ...others]: BuiltTargets,
  tags: readonly string[],
): readonly RecordedResult[] {
  return [{ ...main, tags }, ...others].map((target) => ({
    name: target.name,
    built: target,
    tags: target.tags,
  }));
}
