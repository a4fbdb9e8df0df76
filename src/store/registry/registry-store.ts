import { UserError } from "../../host/errors.ts";
import type { Host } from "../../host/host.ts";
import type { Blobs } from "../../image/blobs.ts";
import { decodeBuildIndex, encodeBuildIndex } from "../../image/build-index.ts";
import { type Digest, digestOf, hexOf } from "../../image/digest.ts";
import { isIndexType, isManifestType, mediaTypes } from "../../image/media-types.ts";
import { formatRepository, parseRepository } from "../../image/reference.ts";
import type { RegistryAccess } from "../../image/registry-access.ts";
import { readTree, verifyVersion } from "../../image/resolve.ts";
import { documentLimit, readDocument } from "../../image/verify.ts";
import type { Stage, Store, StoredBuild } from "../store.ts";
import { openRegctl, type Regctl } from "./regctl.ts";
import { RegistryError } from "./registry-error.ts";

export interface RegistryStoreOptions {
  /** `registry.example/team/app`. */
  readonly repository: string;
  readonly access: RegistryAccess;
  readonly host: Host;
}

/**
 * A store in a repository of a registry: the build index is tagged `build-<hex of the version>`. BuildKit pushes
 * the images themselves, by digest; the rest goes through regctl.
 */
export async function openRegistryStore({ repository, access, host }: RegistryStoreOptions): Promise<Store> {
  const parsed = parseRepository(repository, "source.repository");
  const name = formatRepository(parsed);
  const where = `repository ${name}`;
  const regctl = await openRegctl(host, access, where);
  const insecure = access.hosts.get(parsed.host)?.insecure === true;
  const blobs = repositoryBlobs(regctl, name, where);
  return {
    where,
    prepare: (signal) => proveWritable(regctl, name, signal),
    tags: (signal) => listTags(regctl, name, signal),
    async stage(signal) {
      return registryStage({ regctl, name, blobs, signal }, insecure);
    },
    fetch: (version, signal) => fetchBuild({ regctl, name, blobs, signal }, version),
    [Symbol.asyncDispose]: () => regctl[Symbol.asyncDispose](),
  };
}

/**
 * Uploads the two bytes of the empty JSON object, which OCI itself uses for "nothing here" (image-spec,
 * manifest.md, guidance for an empty descriptor). Whoever may do that may push; an hour's build needn't find out.
 */
async function proveWritable(regctl: Regctl, name: string, signal: AbortSignal): Promise<void> {
  await regctl.run(["blob", "put", name], { signal, input: Buffer.from("{}") });
}

async function listTags(regctl: Regctl, name: string, signal: AbortSignal): Promise<readonly string[]> {
  try {
    const listed = await regctl.run(["tag", "ls", name], { signal });
    return listed.toString("utf8").split("\n").filter(Boolean);
  } catch (thrown) {
    if (thrown instanceof RegistryError && thrown.fault === "not found") return [];
    throw thrown;
  }
}

function repositoryBlobs(regctl: Regctl, name: string, where: string): Blobs {
  return {
    where,
    async open({ digest, mediaType }, signal) {
      const isDocument = isManifestType(mediaType) || isIndexType(mediaType);
      return isDocument
        ? regctl.stream(["manifest", "get", "--format", "raw-body", `${name}@${digest}`], signal)
        : regctl.stream(["blob", "get", name, digest], signal);
    },
    file: () => undefined,
  };
}

interface Repository {
  readonly regctl: Regctl;
  readonly name: string;
  readonly blobs: Blobs;
  readonly signal: AbortSignal;
}

function registryStage({ regctl, name, blobs, signal }: Repository, insecure: boolean): Stage {
  const put = (target: readonly string[], document: Uint8Array, mediaType: string) =>
    regctl.run(["manifest", "put", "--content-type", mediaType, ...target], { signal, input: document });
  return {
    blobs,
    async exporter() {
      return { kind: "push", repository: name, insecure };
    },
    async add(document, mediaType) {
      await put(["--by-digest", name], document, mediaType);
      return { mediaType, digest: digestOf(document), size: document.length };
    },
    async commit(build, tags) {
      const [{ descriptor }] = build.targets;
      const image = tags.length > 0 ? await readDocument(blobs, descriptor, { signal }) : undefined;
      for (const tag of tags) {
        if (image !== undefined) await put([`${name}:${tag}`], image, descriptor.mediaType);
      }
      await put([`${name}:${buildTag(build.version)}`], encodeBuildIndex(build), mediaTypes.ociIndex);
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** Not `sha256-<hex>`: that form belongs to the referrers fallback (OCI distribution-spec, referrers tag schema). */
function buildTag(version: Digest): string {
  return `build-${hexOf(version)}`;
}

async function fetchBuild(
  { regctl, name, blobs, signal }: Repository,
  version: Digest,
): Promise<StoredBuild> {
  const bytes = await readTagged(regctl, `${name}:${buildTag(version)}`, signal).catch((thrown: unknown) => {
    if (!(thrown instanceof RegistryError) || thrown.fault !== "not found") throw thrown;
    throw new UserError(`build ${version} is no longer in ${blobs.where}: run the put again`, {
      cause: thrown,
    });
  });
  const build = decodeBuildIndex(bytes, blobs.where);
  verifyVersion(await readTree(blobs, build.targets[0].descriptor, signal), version, blobs.where);
  return { ...build, version, blobs, repository: name, async [Symbol.asyncDispose]() {} };
}

/** A tag has no digest to check against: what it leads to is verified against the version instead. */
async function readTagged(regctl: Regctl, reference: string, signal: AbortSignal): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  const body = regctl.stream(["manifest", "get", "--format", "raw-body", reference], signal);
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > documentLimit)
      throw new UserError(`${reference}: the manifest has more than ${documentLimit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
