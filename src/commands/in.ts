import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../host/errors.ts";
import { hexOf } from "../image/digest.ts";
import { readInRequest } from "../request/in-request.ts";
import { deliverAll } from "./deliver.ts";
import type { Invocation } from "./invocation.ts";
import { openStore } from "./open-store.ts";
import type { MetadataField } from "./put-metadata.ts";

/**
 * `in`: delivers a stored build into the folder that its argument names; the main target's files directly, each
 * additional target's in a folder of its name.
 */
export async function get({ host, args, readInput }: Invocation): Promise<{
  readonly version: { readonly digest: string };
  readonly metadata: readonly MetadataField[];
}> {
  const { source, version, params } = readInRequest(await readInput());
  const [folder] = args;
  if (folder === undefined) throw new UserError("expected the folder to deliver into as the first argument");
  await mkdir(folder, { recursive: true });
  if (params.skipDownload) return { version, metadata: [] };
  await using store = await openStore(source, host);
  await using build = await store.fetch(version.digest, host.signal);
  await deliverAll(
    build.targets.map(({ name, descriptor }, index) => ({
      outputOci: params.outputOci ?? build.delivery.outputOci,
      unpackRootfs: params.unpackRootfs ?? build.delivery.unpackRootfs,
      imageTar: params.imageTar,
      platform: params.platform,
      repository: build.repository,
      tag: build.repository === undefined ? undefined : `build-${hexOf(version.digest)}`,
      blobs: build.blobs,
      descriptor,
      folder: index === 0 ? folder : join(folder, name),
      host,
    })),
  );
  return { version, metadata: [] };
}
