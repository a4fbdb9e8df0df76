import { Readable } from "node:stream";
import { UserError } from "../../host/errors.ts";
import type { Environment, StepContext } from "../../host/step-context.ts";
import { sum } from "../../host/sum.ts";
import type { Blobs } from "../../image/blobs.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { Digest } from "../../image/digest.ts";
import { isConfigType, isIndexType, isManifestType } from "../../image/media-types.ts";
import type { Repository } from "../../image/reference.ts";
import type { RegistryAccess } from "../../registry/access.ts";
import { RegistryClient } from "../../registry/client.ts";
import { findCredentials } from "../../registry/credentials.ts";
import { download } from "../../registry/download.ts";
import { getManifest } from "../../registry/manifests.ts";
import { RegistryError } from "../../registry/registry-error.ts";
import type { RepositoryPlace } from "../../registry/repository-place.ts";
import type { Timeouts } from "../../registry/retry-policy.ts";

/** A repository that can be used until it is disposed of. */
export interface OpenedRepository extends Disposable {
  readonly repository: Repository;
  /** Reached by plain http, or by https with a certificate that isn't checked. */
  readonly insecure: boolean;
  readonly client: RegistryClient;
  readonly blobs: Blobs;
}

export interface OpenRepository {
  readonly access: RegistryAccess;
  readonly timeouts: Timeouts;
  readonly step: StepContext;
  /** The step's environment, plus the variables that name the files of credentials. */
  readonly env: Environment;
  readonly place: RepositoryPlace;
}

/** Sets up access to a repository. Sends no request yet. */
export function openRepository(repository: Repository, options: OpenRepository): OpenedRepository {
  const { access, env, place } = options;
  const where = place.name;
  const client = new RegistryClient({
    ...options,
    repository,
    credentials: (signal) => findCredentials(access, repository.host, { env, signal }),
  });
  return {
    repository,
    insecure: access.hosts.get(repository.host)?.insecure === true,
    client,
    blobs: repositoryBlobs(client, where),
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}

/**
 * A manifest or index by tag or digest, or undefined if it doesn't exist.
 * @throws RegistryError
 */
export async function findManifest(
  client: RegistryClient,
  reference: string,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  return getManifest(client, reference, signal).catch((thrown: unknown) => {
    if (isNotFound(thrown)) return undefined;
    throw thrown;
  });
}

function isNotFound(thrown: unknown): boolean {
  return thrown instanceof RegistryError && thrown.fault === "not found";
}

function repositoryBlobs(client: RegistryClient, where: string): Blobs {
  // Documents are kept: the same ones are read to verify the version and to deliver it.
  const documents = new Map<Digest, Promise<Buffer>>();
  const fetchDocument = async (descriptor: Descriptor, signal: AbortSignal) => {
    const { mediaType, digest, size } = descriptor;
    if (!isConfigType(mediaType)) {
      return getManifest(client, digest, signal).catch((thrown: unknown) => {
        throw isNotFound(thrown) ? deleted(digest, where, thrown) : thrown;
      });
    }
    const pieces: Buffer[] = [];
    let received = 0;
    for await (const some of namedBlob(client, descriptor, where, signal)) {
      pieces.push(...some);
      received += sum(some.map(({ length }) => length));
      // The code that verifies the config reports that it is too long.
      if (received > size) break;
    }
    return Buffer.concat(pieces);
  };
  return {
    where,
    async open(descriptor, signal) {
      const { digest, mediaType } = descriptor;
      const isDocument = isManifestType(mediaType) || isIndexType(mediaType) || isConfigType(mediaType);
      if (!isDocument) {
        return Readable.from(singly(namedBlob(client, descriptor, where, signal)), { objectMode: false });
      }
      const document = documents.get(digest) ?? fetchDocument(descriptor, signal);
      documents.set(digest, document);
      return Readable.from([await document], { objectMode: false });
    },
    pieces: (descriptor, signal) => namedBlob(client, descriptor, where, signal),
    file: () => undefined,
    kept: true,
  };
}

async function* singly(source: AsyncIterable<readonly Buffer[]>): AsyncGenerator<Buffer> {
  for await (const pieces of source) yield* pieces;
}

async function* namedBlob(
  client: RegistryClient,
  { digest, size }: Descriptor,
  where: string,
  signal: AbortSignal,
): AsyncGenerator<readonly Buffer[], void, undefined> {
  try {
    yield* download(client, { digest, size }, signal);
  } catch (thrown) {
    throw isNotFound(thrown) ? deleted(digest, where, thrown) : thrown;
  }
}

/**
 * The error for a missing part of a build. It must have been deleted, because registries refuse a manifest or index
 * whose parts are missing.
 */
function deleted(digest: Digest, where: string, cause: unknown): UserError {
  return new UserError(
    `${where}: ${digest}, a part of this build, was deleted there, by garbage collection or a rule for untagged images. Exempt what tags with build- lead to from it, and run the put again`,
    { cause },
  );
}
