import { UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import { buildName } from "../../image/build-version.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { digestOf } from "../../image/digest.ts";
import { mediaTypes } from "../../image/media-types.ts";
import { readDocument } from "../../image/verify.ts";
import { putManifest } from "../../registry/manifests.ts";
import type { Build } from "../build.ts";
import { decodeBuildIndex, encodeBuildIndex } from "../build-index.ts";
import type { Keep } from "../keep.ts";
import type { Stage } from "../store.ts";
import { findManifest, type OpenedRepository } from "./opened-repository.ts";
import { pruneBuilds } from "./prune.ts";
import { isRefusal, isSameBuild, leadsToSameImages, setTag } from "./set-tag.ts";
import { tagDespitePruning } from "./tag-despite-pruning.ts";

export interface RegistryStageOptions {
  /** The repository that gets the images, their tags and the build index. */
  readonly main: OpenedRepository;
  /** Repositories that get the images and their tags too. */
  readonly others: readonly OpenedRepository[];
  readonly keep: Keep | undefined;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Receives one build. BuildKit pushes the images by digest; tags are set after all of them have been pushed. */
export function registryStage({ main, others, keep, log, signal }: RegistryStageOptions): Stage {
  const { client, blobs } = main;
  const all = [main, ...others];
  /** Whether `earlier` found no build of this version. False until it has been called. */
  let isFirst = false;
  return {
    blobs,
    async exporter() {
      return {
        kind: "push",
        destinations: all.map(({ repository, insecure }) => ({ repository, insecure })),
      };
    },
    async add(document, mediaType) {
      for (const each of all) await putManifest(each.client, { document, mediaType }, signal);
      return { mediaType, digest: digestOf(document), size: document.length };
    },
    async earlier(version) {
      const bytes = await findManifest(client, buildName(version), signal);
      isFirst = bytes === undefined;
      return bytes === undefined ? undefined : readEarlier(bytes, blobs.where);
    },
    async commit(build, tags) {
      const [target, ...more] = build.targets;
      for (const { descriptor, tags: own } of [{ ...target, tags }, ...more]) {
        for (const tag of own) {
          const document = await readDocument(blobs, descriptor, { signal });
          for (const each of all) await tagImage(each, { tag, document, descriptor }, signal);
        }
      }
      const tag = buildName(build.version);
      const write = async () => {
        const isStored = await writeBuildIndex(main, build, signal);
        if (!isStored)
          log.warn(`build.json: ${main.blobs.where} doesn't take it, so gets of this build have none`);
      };
      const isSafe = isFirst && keep === undefined;
      await tagDespitePruning(client, { tag, write, isSafe, where: blobs.where, log }, signal);
      if (keep !== undefined) await pruneBuilds({ opened: main, keep, log, build, signal });
    },
    async [Symbol.asyncDispose]() {},
  };
}

/**
 * Tags the build index. If the registry refuses it, perhaps for its size, it is tried without the build's record.
 * @returns whether the record was stored, if there is one
 */
async function writeBuildIndex(main: OpenedRepository, build: Build, signal: AbortSignal): Promise<boolean> {
  const write = (given: Build) =>
    setTag(
      main,
      {
        tag: buildName(given.version),
        document: encodeBuildIndex(given),
        mediaType: mediaTypes.ociIndex,
        advice: buildTagAdvice,
      },
      (current) => isSameBuild(main, current, given, signal),
      signal,
    );
  const { put } = build;
  try {
    await write(build);
    return true;
  } catch (thrown) {
    if (put.record === undefined || !isRefusal(thrown)) throw thrown;
    await write({ ...build, put: { ...put, record: undefined } });
    return false;
  }
}

function readEarlier(bytes: Buffer, where: string): Build | undefined {
  try {
    return decodeBuildIndex(bytes, where);
  } catch (thrown) {
    if (thrown instanceof UserError) return undefined;
    throw thrown;
  }
}

const buildTagAdvice =
  "This version is stored with other manifests, of another compression for example: build it as it was, or exempt tags with build- from the rule for immutable tags";
const imageTagAdvice =
  "Where tags are immutable, give each put tags of its own (version_file, tags_file), without bump_aliases and tags that move";

interface ImageTag {
  readonly tag: string;
  readonly document: Uint8Array;
  readonly descriptor: Descriptor;
}

function tagImage(
  opened: OpenedRepository,
  { tag, document, descriptor }: ImageTag,
  signal: AbortSignal,
): Promise<void> {
  const isSame = (current: Buffer) => leadsToSameImages(opened, current, descriptor, signal);
  return setTag(
    opened,
    { tag, document, mediaType: descriptor.mediaType, advice: imageTagAdvice },
    isSame,
    signal,
  );
}
