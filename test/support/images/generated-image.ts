import assert from "node:assert/strict";
import { join } from "node:path";
import { unpackRootfs } from "../../../src/rootfs/unpack.ts";
import { createTestStep } from "../runs/test-step.ts";
import { type RawMember, rawTar } from "../tar/raw-tar.ts";
import { readTree, type Tree } from "../tar/trees.ts";
import { type MadeLayout, writeLayout } from "./image-writer.ts";
import { layerStack, type StackOptions } from "./layer-stacks.ts";
import { layerOf } from "./unpacking.ts";

export interface GeneratedImage {
  readonly layers: readonly (readonly RawMember[])[];
  readonly layout: MadeLayout;
  /** As we unpack it. */
  readonly tree: Tree;
}

/** Generates an image of a stack of layers, unpacks it, and writes it as a layout for others to unpack. */
export async function generateImage(folder: string, options: StackOptions): Promise<GeneratedImage> {
  const layers = layerStack(options);
  const archives = layers.map(rawTar);
  const destination = join(folder, "ours");
  const made = archives.map((archive) => layerOf(archive));
  await unpackRootfs({ layers: made, destination, step: createTestStep() });
  const tree = readTree(destination);
  assert.ok(tree.size > 1, `seed ${options.seed} made an empty tree`);
  const layout = await writeLayout(join(folder, "layout"), { layers: archives });
  return { layers, layout, tree };
}
