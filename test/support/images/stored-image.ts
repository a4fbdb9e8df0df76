import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import {
  type BuildVersion,
  buildName,
  formatBuildVersion,
  sortedTargets,
  type VersionFields,
} from "../../../src/image/build-version.ts";
import { type Digest, hexOf } from "../../../src/image/digest.ts";
import { mediaTypes } from "../../../src/image/media-types.ts";
import type { TargetName } from "../../../src/image/target-name.ts";
import type { Build, PutRecord } from "../../../src/store/build.ts";
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

/** The version of a put that had nothing but an image to say. */
export function plainVersion(digest: Digest): BuildVersion {
  return { digest, targets: [], delivery: { unpackRootfs: false, outputOci: false }, put: undefined };
}

/** What a put records of itself. */
export const putRecord: PutRecord = {
  id: "4242-2026-01-02T03:04:05.678Z-test",
  at: Date.parse("2026-01-02T03:04:05.678Z"),
  variant: undefined,
  metadata: [{ name: "steps", value: "3 run, 0 cached" }],
  layers: undefined,
  record: undefined,
};

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
    version: plainVersion(config.digest),
    targets: [{ name: "", descriptor: manifest }],
    put: putRecord,
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
  readonly version: VersionFields & { readonly digest: Digest };
  /** Where the directory store keeps it. */
  readonly folder: string;
  readonly layouts: readonly MadeLayout[];
}

/** Stores a build in a directory as a put stores it, without building anything and without our store. */
export async function storeInDirectory(
  directory: string,
  targets: Targets,
  delivery: BuildVersion["delivery"] = { unpackRootfs: false, outputOci: false },
): Promise<StoredBuild> {
  const staging = join(directory, "made");
  await mkdir(staging, { recursive: true });
  const layouts: MadeLayout[] = [];
  for (const recipes of Object.values(targets)) layouts.push(await writeLayout(staging, ...recipes));
  const [main, ...others] = Object.keys(targets).map((name, index) => ({ name, layout: layouts[index] }));
  if (main?.layout === undefined) throw new Error("no image was made");
  const additional = others.flatMap(({ name, layout }) =>
    layout === undefined ? [] : [{ name: name as TargetName, layout }],
  );
  const version: BuildVersion = {
    digest: digestOfLayout(main.layout),
    targets: sortedTargets(additional.map(({ name, layout }) => ({ name, digest: digestOfLayout(layout) }))),
    delivery,
    put: undefined,
  };
  const built: Build["targets"] = [
    { name: main.name, descriptor: main.layout.descriptor },
    ...additional.map(({ name, layout }) => ({ name, descriptor: layout.descriptor, tags: [] })),
  ];
  await writeFile(join(staging, "index.json"), encodeBuildIndex({ version, targets: built, put: putRecord }));
  const folder = join(directory, buildName(version));
  await rename(staging, folder);
  return { version: { ...formatBuildVersion(version), digest: version.digest }, folder, layouts };
}

/** The config digest of its one image, or the digest of its index of several. */
function digestOfLayout({ descriptor, images: [image, ...others] }: MadeLayout): Digest {
  return others.length > 0 || image === undefined ? descriptor.digest : image.config.digest;
}
