import * as z from "zod";
import { UserError } from "../../host/errors.ts";
import type { Descriptor } from "../descriptor.ts";
import { type Digest, digestOf, hexOf } from "../digest.ts";
import { ImageConfig, parseDocument } from "../documents.ts";
import { configDigestOf, type Image } from "../image-tree.ts";
import { mediaTypes } from "../media-types.ts";
import { normalPlatform } from "../platform.ts";
import { type FileRange, fileOf, type ImageFiles, readDocumentFile, shownName } from "./image-files.ts";
import type { FoundImage } from "./layout-form.ts";
import { registryManifest } from "./no-image.ts";
import type { PrivateLayout } from "./private-layout.ts";

/** Docker's manifest.json (moby, image/spec/v1.2: "combined image JSON"). */
const DockerManifests = z.array(
  z.looseObject({
    Config: z.string(),
    RepoTags: z.array(z.string()).nullish(),
    Layers: z
      .array(z.string())
      .nullish()
      .transform((layers) => layers ?? []),
  }),
);
/** A manifest or index of a registry, of any schema version. */
const RegistryManifest = z.looseObject({ schemaVersion: z.number() });
type DockerManifest = z.output<typeof DockerManifests>[number];

const manifestLimit = 1024 * 1024;

/** The one image of a `manifest.json`, with its config read. */
export interface DockerImage extends Pick<FoundImage, "place"> {
  readonly configDigest: Digest;
  readonly platform: Image["platform"];
}

/**
 * Reads the image that `docker save` writes. `manifest.json` names the files of config and layers, whatever they
 * are called. Each layer is checked against its diff ID when it is placed.
 * @throws UserError when there isn't exactly one image, or it contradicts itself
 */
export async function readDockerForm(files: ImageFiles): Promise<DockerImage> {
  const { where } = files;
  const image = await onlyEntry(files);
  const subject = `${where}: config`;
  const configBytes = await readDocumentFile(fileOf(files, image.Config, subject), subject);
  const digest = digestOf(configBytes);
  // A name with more digits may be a sha512.
  const [named] = /(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/.exec(image.Config) ?? [];
  if (named !== undefined && named !== hexOf(digest)) {
    throw new UserError(`${subject}: ${shownName(image.Config)} has digest ${digest}: it was changed`);
  }
  const config = parseDocument(ImageConfig, configBytes, subject);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== image.Layers.length) {
    throw new UserError(
      `${where}: manifest.json lists ${image.Layers.length} layers, the config ${diffIds.length} diff IDs; expected one for each layer`,
    );
  }
  const layers = image.Layers.map((layer) => fileOf(files, layer, `${where}: layer`));
  return {
    configDigest: digest,
    platform: normalPlatform(config),
    place: (into) => placeImage({ configBytes, config, layers }, into),
  };
}

async function onlyEntry(files: ImageFiles): Promise<DockerManifest> {
  const subject = `${files.where}: manifest.json`;
  const file = fileOf(files, "manifest.json", subject);
  const bytes = await readDocumentFile(file, subject, manifestLimit);
  const { success: isRegistryManifest } = RegistryManifest.safeParse(
    parseDocument(z.unknown(), bytes, subject),
  );
  if (isRegistryManifest) throw new UserError(`${files.where}: ${registryManifest}`);
  const images = parseDocument(DockerManifests, bytes, subject);
  const [only] = images;
  if (only === undefined) throw new UserError(`${subject}: lists no image; expected one`);
  const contentOf = ({ Config, Layers }: DockerManifest) => JSON.stringify([Config, Layers]);
  if (images.every((image) => contentOf(image) === contentOf(only))) return only;
  const tags = images.flatMap(({ RepoTags }) => RepoTags ?? []);
  throw new UserError(
    `${subject}: lists ${images.length} images (${tags.slice(0, 5).join(", ")}); save only the one you need`,
  );
}

interface Parts {
  readonly configBytes: Uint8Array;
  readonly config: ImageConfig;
  readonly layers: readonly FileRange[];
}

async function placeImage({ configBytes, config, layers }: Parts, into: PrivateLayout): Promise<Descriptor> {
  const placed = new Map<string, Descriptor>();
  const list: Descriptor[] = [];
  for (const [at, diffId] of config.rootfs.diff_ids.entries()) {
    const file = layers[at];
    if (file === undefined) throw new Error(`no layer for diff ID ${diffId}`);
    // A file may be listed more than once, because all empty layers are the same.
    const key = `${diffId} ${file.start} ${file.path}`;
    const layer = placed.get(key) ?? (await into.addLayer(diffId, file));
    placed.set(key, layer);
    list.push(layer);
  }
  const mediaType = mediaTypes.ociManifest;
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: await into.addDocument(mediaTypes.ociConfig, configBytes),
    layers: list,
  };
  return into.addDocument(mediaType, Buffer.from(JSON.stringify(manifest)));
}

/** @throws UserError unless `manifest.json` and `index.json` name the same image */
export function checkFormsAgree(
  { images }: Pick<FoundImage, "images">,
  { configDigest }: DockerImage,
  where: string,
): void {
  if (images.some((image) => configDigestOf(image) === configDigest)) return;
  throw new UserError(`${where}: its manifest.json and its index.json name different images; write it again`);
}
