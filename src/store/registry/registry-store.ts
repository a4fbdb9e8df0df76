import { Readable } from "node:stream";
import { UserError } from "../../host/errors.ts";
import { createPrivateFolder } from "../../host/private-folder.ts";
import type { StepContext } from "../../host/step-context.ts";
import type { Blobs } from "../../image/blobs.ts";
import { type BuildVersion, buildName } from "../../image/build-version.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { type Digest, digestOf } from "../../image/digest.ts";
import { isIndexType, isManifestType, mediaTypes } from "../../image/media-types.ts";
import { formatRepository, type Repository } from "../../image/reference.ts";
import { readDocument } from "../../image/verify.ts";
import type { RegistryAccess } from "../../registry/access.ts";
import { RegistryClient } from "../../registry/client.ts";
import { findCredentials } from "../../registry/credentials.ts";
import { writeCredentials } from "../../registry/docker-config.ts";
import { download } from "../../registry/download.ts";
import { getManifest, listTags, proveWritable, putManifest, taggedDigest } from "../../registry/manifests.ts";
import { RegistryError } from "../../registry/registry-error.ts";
import { defaultTimeouts, type Timeouts } from "../../registry/retry.ts";
import type { Build } from "../build.ts";
import { decodeBuildIndex, encodeBuildIndex } from "../build-index.ts";
import type { Stage, Store } from "../store.ts";
import { verifiedTargets } from "../verified-targets.ts";

export interface RegistryStoreOptions {
  readonly repository: Repository;
  readonly access: RegistryAccess;
  readonly timeouts?: Partial<Timeouts>;
  readonly step: StepContext;
}

/**
 * A store in a repository of a registry: the build index is tagged `build-…`. BuildKit pushes the
 * images themselves, by digest.
 */
export async function openRegistryStore(options: RegistryStoreOptions): Promise<Store> {
  const { repository, access, step } = options;
  const where = `repository ${formatRepository(repository)}`;
  await using prepared = new AsyncDisposableStack();
  const { path: folder } = prepared.use(await createPrivateFolder("registry"));
  const env = { ...step.env, ...(await writeCredentials(access, folder)) };
  const client = new RegistryClient({
    repository,
    where,
    access,
    step,
    timeouts: { ...defaultTimeouts, ...options.timeouts },
    credentials: (signal) => findCredentials(access, repository.host, { env, signal }),
  });
  const opened: OpenedRepository = { client, repository, blobs: repositoryBlobs(client, where) };
  const insecure = access.hosts.get(repository.host)?.insecure === true;
  prepared.defer(() => client[Symbol.dispose]());
  const owned = prepared.move();
  return {
    where,
    prepare: (signal) => proveWritable(client, signal),
    tags: (signal) => listTags(client, signal),
    async stage(signal) {
      return registryStage(opened, insecure, signal);
    },
    read: (version, signal) => readTaggedIndex(opened, version, signal),
    async fetch(version, signal) {
      const build = await readTaggedIndex(opened, version, signal);
      const { blobs } = opened;
      const targets = await verifiedTargets(build, version, blobs, signal);
      return { targets, put: build.put, blobs, async [Symbol.asyncDispose]() {} };
    },
    isTagged: async (tag, { digest }, signal) => (await taggedDigest(client, tag, signal)) === digest,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function repositoryBlobs(client: RegistryClient, where: string): Blobs {
  // To prove the version and to deliver it, the same documents are read.
  const documents = new Map<Digest, Promise<Buffer>>();
  const fetchDocument = async ({ mediaType, digest, size }: Descriptor, signal: AbortSignal) => {
    if (!isConfigType(mediaType)) return getManifest(client, digest, signal);
    const pieces: Buffer[] = [];
    let received = 0;
    for await (const piece of download(client, { digest, size }, signal)) {
      pieces.push(piece);
      received += piece.length;
      // Whoever verifies it says that it is too long.
      if (received > size) break;
    }
    return Buffer.concat(pieces);
  };
  return {
    where,
    async open(descriptor, signal) {
      const { digest, mediaType } = descriptor;
      const isDocument = isManifestType(mediaType) || isIndexType(mediaType) || isConfigType(mediaType);
      if (!isDocument) return Readable.from(download(client, descriptor, signal), { objectMode: false });
      const document = documents.get(digest) ?? fetchDocument(descriptor, signal);
      documents.set(digest, document);
      return Readable.from([await document], { objectMode: false });
    },
    file: () => undefined,
    kept: true,
  };
}

function isConfigType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociConfig || mediaType === mediaTypes.dockerConfig;
}

interface OpenedRepository {
  readonly client: RegistryClient;
  readonly repository: Repository;
  readonly blobs: Blobs;
}

function registryStage(
  { client, repository, blobs }: OpenedRepository,
  insecure: boolean,
  signal: AbortSignal,
): Stage {
  return {
    blobs,
    async exporter() {
      return { kind: "push", repository, insecure };
    },
    async add(document, mediaType) {
      await putManifest(client, { document, mediaType }, signal);
      return { mediaType, digest: digestOf(document), size: document.length };
    },
    async earlier(version) {
      const bytes = await findManifest(client, buildName(version), signal);
      if (bytes === undefined) return undefined;
      try {
        return decodeBuildIndex(bytes, blobs.where);
      } catch (thrown) {
        if (thrown instanceof UserError) return undefined;
        throw thrown;
      }
    },
    async commit(build, tags) {
      const [main, ...others] = build.targets;
      for (const { descriptor, tags: own } of [{ ...main, tags }, ...others]) {
        const { mediaType } = descriptor;
        for (const tag of own) {
          const document = await readDocument(blobs, descriptor, { signal });
          await putManifest(client, { document, mediaType, tag }, signal);
        }
      }
      const index = { document: encodeBuildIndex(build), mediaType: mediaTypes.ociIndex };
      await putManifest(client, { ...index, tag: buildName(build.version) }, signal);
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function readTaggedIndex(
  { client, blobs }: OpenedRepository,
  version: BuildVersion,
  signal: AbortSignal,
): Promise<Build> {
  const bytes = await findManifest(client, buildName(version), signal);
  // A tag has no digest to hold it against: what it leads to is verified against the version instead.
  if (bytes !== undefined) return decodeBuildIndex(bytes, blobs.where);
  throw new UserError(`build ${version.digest} is no longer in ${blobs.where}: run the put again`);
}

async function findManifest(
  client: RegistryClient,
  reference: string,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  return getManifest(client, reference, signal).catch((thrown: unknown) => {
    if (thrown instanceof RegistryError && thrown.fault === "not found") return undefined;
    throw thrown;
  });
}
