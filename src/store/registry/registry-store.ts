import { createPrivateFolder } from "../../host/private-folder.ts";
import type { StepContext } from "../../host/step-context.ts";
import { type BuildVersion, buildName } from "../../image/build-version.ts";
import type { Repository } from "../../image/reference.ts";
import type { RegistryAccess } from "../../registry/access.ts";
import { listTags, proveWritable, taggedDigest } from "../../registry/manifests.ts";
import { repositoryPlace } from "../../registry/repository-place.ts";
import { defaultTimeouts, type Timeouts } from "../../registry/retry-policy.ts";
import { writeCredentials } from "../../registry/write-credentials.ts";
import type { Build } from "../build.ts";
import { decodeBuildIndex } from "../build-index.ts";
import type { Keep } from "../keep.ts";
import { missingBuild } from "../missing-build.ts";
import type { Store } from "../store.ts";
import { verifiedTargets } from "../verified-targets.ts";
import { findManifest, type OpenedRepository, openRepository } from "./opened-repository.ts";
import { registryStage } from "./registry-stage.ts";

export interface RegistryStoreOptions {
  readonly repository: Repository;
  /** Further repositories to push the images to, with the same tags. */
  readonly also?: readonly Repository[];
  readonly access: RegistryAccess;
  readonly timeouts?: Partial<Timeouts>;
  /** Which builds to keep when a new one is stored. Default: all. */
  readonly keep?: Keep | undefined;
  readonly step: StepContext;
}

/**
 * A store in a repository of a registry. The build index is tagged `build-…`. BuildKit pushes the images themselves
 * by digest.
 */
export async function openRegistryStore(options: RegistryStoreOptions): Promise<Store> {
  const { repository, also = [], access, keep, step } = options;
  await using prepared = new AsyncDisposableStack();
  const { path: folder } = prepared.use(await createPrivateFolder("registry"));
  const env = { ...step.env, ...(await writeCredentials(access, folder)) };
  const timeouts = { ...defaultTimeouts, ...options.timeouts };
  const open = (named: Repository, field: string) => {
    const place = repositoryPlace(named, { field, storeHost: repository.host, access });
    return prepared.use(openRepository(named, { access, timeouts, step, env, place }));
  };
  const opened = open(repository, "source.repository");
  const others = also.map((other) => open(other, "params.also"));
  const { client, blobs } = opened;
  const owned = prepared.move();
  return {
    where: blobs.where,
    async prepare(signal) {
      await Promise.all([opened, ...others].map((each) => proveWritable(each.client, signal)));
    },
    tags: (signal) => listTags(client, signal),
    async stage(signal) {
      return registryStage({ main: opened, others, keep, log: step.log, signal });
    },
    read: (version, signal) => readTaggedIndex(opened, version, { keep, signal }),
    async fetch(version, signal) {
      const build = await readTaggedIndex(opened, version, { keep, signal });
      const verified = await verifiedTargets(build, version, blobs, signal);
      return { ...verified, put: build.put, blobs, async [Symbol.asyncDispose]() {} };
    },
    isTagged: async (tag, { digest }, signal) => (await taggedDigest(client, tag, signal)) === digest,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function readTaggedIndex(
  { client, blobs }: OpenedRepository,
  version: BuildVersion,
  { keep, signal }: { keep: Keep | undefined; signal: AbortSignal },
): Promise<Build> {
  const bytes = await findManifest(client, buildName(version), signal);
  // A tag has no digest to verify the index by. Instead, `fetch` verifies the index's targets against the version.
  if (bytes !== undefined) return decodeBuildIndex(bytes, blobs.where);
  throw missingBuild(version, blobs.where, keep);
}
