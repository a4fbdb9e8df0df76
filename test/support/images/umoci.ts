import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { assertSameTree, readTree } from "../tar/trees.ts";
import { generateImage } from "./generated-image.ts";
import { writeIndex } from "./image-writer.ts";
import type { StackOptions } from "./layer-stacks.ts";

/** Asserts that a generated image unpacks to the same tree by ours and by umoci; answers how many entries it has. */
export async function assertUnpackedAsByUmoci(options: StackOptions): Promise<number> {
  await using place = await createPrivateFolder("test-differential");
  const { layout, tree } = await generateImage(place.path, options);
  // By this umoci finds it (OCI image-spec, annotations.md).
  await writeIndex(layout.folder, [
    { ...layout.descriptor, annotations: { "org.opencontainers.image.ref.name": "image" } },
  ]);
  const theirs = join(place.path, "theirs");
  await execa("umoci", ["raw", "unpack", "--image", `${layout.folder}:image`, theirs]);
  assertSameTree(tree, readTree(theirs));
  return tree.size;
}
