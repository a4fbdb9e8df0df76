import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { type Digest, hexOf } from "../../../src/image/digest.ts";
import { mediaTypes } from "../../../src/image/media-types.ts";
import type { Build } from "../../../src/store/build.ts";
import { encodeBuildIndex } from "../../../src/store/build-index.ts";
import { randomBytes, randomFrom } from "../runs/random.ts";
import {
  type ImageRecipe,
  type LayerContent,
  type MadeImage,
  type MadeLayout,
  pushLayout,
  writeBlob,
  writeIndex,
  writeLayout,
} from "./image-writer.ts";
import type { RegistryLogin } from "./regctl.ts";

export interface StoredImage {
  readonly version: { readonly digest: Digest };
  readonly image: MadeImage;
  /** The tag that a get begins with. */
  readonly tag: string;
}

/** A layer with one file of so many bytes that don't compress. */
export function randomLayer(size: number, seed = 1): LayerContent {
  return [{ name: `data-${seed}`, content: randomBytes(randomFrom(seed), size) }];
}

function buildIndexOf({ config, manifest }: MadeImage): Uint8Array {
  return encodeBuildIndex({
    version: config.digest,
    targets: [{ name: "", descriptor: manifest }],
    delivery: { unpackRootfs: false, outputOci: false },
  });
}

/** Stores an image in a registry as a put stores it, without building anything, by another program than ours. */
export async function storeImage(
  repository: string,
  recipe: ImageRecipe = { layers: [randomLayer(100_000)] },
  login: RegistryLogin = {},
): Promise<StoredImage> {
  await using folder = await createPrivateFolder("test-store");
  const layout = join(folder.path, "image");
  const { images } = await writeLayout(layout, recipe);
  const [image] = images;
  if (image === undefined) throw new Error("no image was made");
  const { digest } = image.config;
  await writeIndex(layout, [await writeBlob(layout, mediaTypes.ociIndex, buildIndexOf(image))]);
  const tag = `build-${hexOf(digest)}`;
  await pushLayout(layout, `${repository}:${tag}`, login);
  return { version: { digest }, image, tag };
}

/** Images by the name of their target, the main one first; several recipes are an index over several platforms. */
export type Targets = Readonly<Record<string, readonly ImageRecipe[]>>;

export interface StoredBuild {
  readonly version: { readonly digest: Digest };
  /** Where the directory store keeps it. */
  readonly folder: string;
  readonly layouts: readonly MadeLayout[];
}

/** Stores a build in a directory as a put stores it, without building anything and without our store. */
export async function storeInDirectory(
  directory: string,
  targets: Targets,
  delivery: Build["delivery"] = { unpackRootfs: false, outputOci: false },
): Promise<StoredBuild> {
  const staging = join(directory, "made");
  await mkdir(staging, { recursive: true });
  const layouts: MadeLayout[] = [];
  for (const recipes of Object.values(targets)) layouts.push(await writeLayout(staging, ...recipes));
  const built = Object.keys(targets).map((name, index) => ({ name, descriptor: layouts[index]?.descriptor }));
  const [main] = layouts;
  if (main === undefined) throw new Error("no image was made");
  const [image, ...others] = main.images;
  const digest = others.length > 0 || image === undefined ? main.descriptor.digest : image.config.digest;
  const index = encodeBuildIndex({
    version: digest,
    targets: built as unknown as Build["targets"],
    delivery,
  });
  await writeFile(join(staging, "index.json"), index);
  const folder = join(directory, hexOf(digest));
  await rename(staging, folder);
  return { version: { digest }, folder, layouts };
}
