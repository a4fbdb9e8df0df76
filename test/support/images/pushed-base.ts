import { basename } from "node:path";
import { gzipSync } from "node:zlib";
import type { Descriptor } from "../../../src/image/descriptor.ts";
import { type DiffId, digestOf } from "../../../src/image/digest.ts";
import { mediaTypes } from "../../../src/image/media-types.ts";
import {
  type Compression,
  nativePlatform,
  pushLayout,
  writeBlob,
  writeDocument,
  writeImageOf,
  writeIndex,
  writeLayer,
  writeLayout,
} from "./image-writer.ts";

export interface BaseOptions {
  /** Whether the last layer isn't what the config says. */
  readonly isLying?: boolean;
  /** What the blob of the last layer has behind its gzip. */
  readonly behind?: Buffer;
  readonly compression?: Compression;
  readonly layerCount?: number;
  /** By default only this machine's. */
  readonly architectures?: readonly string[];
}

/**
 * Pushes an image of some layers to a registry, as a base. Its repository, and so the content of its layers, has the name of
 * the folder for its layout.
 * @returns its reference
 */
export async function pushBaseImage(
  host: string,
  folder: string,
  options: BaseOptions = {},
): Promise<string> {
  const { isLying = false, compression = "gzip", layerCount = 2 } = options;
  const name = basename(folder);
  const recipes = (options.architectures ?? [nativePlatform.architecture]).map((architecture) => ({
    layers: Array.from({ length: layerCount - 1 }, (_, at) => [
      { name: `${at}`, content: `${name} ${architecture}` },
    ]),
    compression,
    platform: { os: "linux", architecture },
  }));
  const { images } = await writeLayout(folder, ...recipes);
  const made = await writeLayer(folder, [{ name: "last", content: name }], { compression });
  const { behind } = options;
  const last =
    behind === undefined
      ? made
      : {
          ...made,
          descriptor: await writeBlob(
            folder,
            mediaTypes.ociLayerGzip,
            Buffer.concat([gzipSync(made.tar), behind]),
          ),
        };
  const diffId = isLying ? (digestOf(Buffer.from("another")) as DiffId) : last.diffId;
  const manifests: Descriptor[] = [];
  for (const [at, { layers }] of images.entries())
    manifests.push((await writeImageOf(folder, [...layers, { ...last, diffId }], recipes[at])).manifest);
  const [only] = manifests;
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  const top =
    only !== undefined && manifests.length === 1
      ? only
      : await writeDocument(folder, mediaTypes.ociIndex, index);
  await writeIndex(folder, [top]);
  const reference = `${host}/${name}:latest`;
  await pushLayout(folder, reference);
  return reference;
}
