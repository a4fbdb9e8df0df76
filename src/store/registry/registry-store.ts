import { Readable } from "node:stream";
import { UserError } from "../../host/errors.ts";
import { createPrivateFolder } from "../../host/private-folder.ts";
import type { StepContext } from "../../host/step-context.ts";
import type { Blobs } from "../../image/blobs.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { type Digest, digestOf } from "../../image/digest.ts";
import { readTree, verifyVersion } from "../../image/image-tree.ts";
import { isIndexType, isManifestType, mediaTypes } from "../../image/media-types.ts";
import { formatRepository, type Repository } from "../../image/reference.ts";
import { readDocument } from "../../image/verify.ts";
import type { RegistryAccess } from "../../registry/access.ts";
import { RegistryClient } from "../../registry/client.ts";
import { findCredentials } from "../../registry/credentials.ts";
import { writeCredentials } from "../../registry/docker-config.ts";
import { download } from "../../registry/download.ts";
import { getManifest, listTags, proveWritable, putManifest } from "../../registry/manifests.ts";
import { RegistryError } from "../../registry/registry-error.ts";
import { defaultTimeouts, type Timeouts } from "../../registry/retry.ts";
import { buildTag, decodeBuildIndex, encodeBuildIndex } from "../build-index.ts";
import type { Stage, Store, StoredBuild } from "../store.ts";

export interface RegistryStoreOptions {
  readonly repository: Repository;
  readonly access: RegistryAccess;
  readonly timeouts?: Partial<Timeouts>;
  readonly step: StepContext;
}

/**
 * A store in a repository of a registry: the build index is tagged `build-<hex of the version>`. BuildKit pushes the
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
    fetch: (version, signal) => fetchTaggedBuild(opened, version, signal),
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
    async commit(build, tags) {
      const [{ descriptor }] = build.targets;
      const { mediaType } = descriptor;
      const image = tags.length > 0 ? await readDocument(blobs, descriptor, { signal }) : undefined;
      for (const tag of tags) {
        if (image !== undefined) await putManifest(client, { document: image, mediaType, tag }, signal);
      }
      const index = { document: encodeBuildIndex(build), mediaType: mediaTypes.ociIndex };
      await putManifest(client, { ...index, tag: buildTag(build.version) }, signal);
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function fetchTaggedBuild(
  { client, blobs }: OpenedRepository,
  version: Digest,
  signal: AbortSignal,
): Promise<StoredBuild> {
  const bytes = await getManifest(client, buildTag(version), signal).catch((thrown: unknown) => {
    if (!(thrown instanceof RegistryError) || thrown.fault !== "not found") throw thrown;
    throw new UserError(`build ${version} is no longer in ${blobs.where}: run the put again`, {
      cause: thrown,
    });
  });
  // A tag has no digest to hold it against: what it leads to is verified against the version instead.
  const build = decodeBuildIndex(bytes, blobs.where);
  const tree = await readTree(blobs, build.targets[0].descriptor, signal);
  verifyVersion(tree, version, blobs.where);
  return { ...build, version, blobs, tree, async [Symbol.asyncDispose]() {} };
}
