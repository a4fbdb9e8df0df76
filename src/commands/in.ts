import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type DeliverTarget, deliverAll } from "../delivery/deliver.ts";
import { deliveredNames } from "../delivery/delivered-files.ts";
import { type Delivery, decideTarget, type RegistryPlace } from "../delivery/target-content.ts";
import { checkTargetNames } from "../delivery/target-names.ts";
import { UserError } from "../host/errors.ts";
import type { StepContext } from "../host/step-context.ts";
import { readTree } from "../image/image-tree.ts";
import { formatRepository } from "../image/reference.ts";
import { type InRequest, readInRequest } from "../request/in-request.ts";
import { buildTag } from "../store/build-index.ts";
import type { StoredBuild } from "../store/store.ts";
import { imageFields, type MetadataField } from "./image-fields.ts";
import type { Invocation } from "./invocation.ts";
import { openStore } from "./open-store.ts";

/**
 * `in`: delivers a stored build into the folder that its argument names; the main target's files directly, each
 * additional target's in a folder of its name.
 *
 * The metadata is what a put tells of the image, for Concourse shows it in place of the put's.
 */
export async function get({ step, args, readInput }: Invocation): Promise<{
  readonly version: { readonly digest: string };
  readonly metadata: readonly MetadataField[];
}> {
  const request = readInRequest(await readInput());
  const { source, version, params } = request;
  const [folder] = args;
  if (folder === undefined) throw new UserError("expected the folder to deliver into as the first argument");
  await mkdir(folder, { recursive: true });
  const place = placeOf(request);
  if (params.skipDownload) {
    await deliverAll([{ step, place, digest: version.digest, image: undefined, folder }]);
    return { version, metadata: placeFields(place) };
  }
  await using store = await openStore(source, step);
  await using build = await store.fetch(version.digest, step.signal);
  const delivery = {
    outputOci: params.outputOci ?? build.delivery.outputOci,
    unpackRootfs: params.unpackRootfs ?? build.delivery.unpackRootfs,
    imageTar: params.imageTar,
    platform: params.platform,
  };
  await deliverAll(await targetsOf(build, { delivery, place, folder, step }));
  return { version, metadata: [...placeFields(place), ...imageFields(build.tree)] };
}

/** Where a registry has the build: known without asking it. */
function placeOf({ source: { store }, version }: InRequest): RegistryPlace | undefined {
  if (store.kind === "directory") return undefined;
  return { repository: store.repository, tag: buildTag(version.digest) };
}

function placeFields(place: RegistryPlace | undefined): MetadataField[] {
  if (place === undefined) return [];
  const { repository, tag } = place;
  return [
    { name: "repository", value: formatRepository(repository) },
    ...(tag === undefined ? [] : [{ name: "tag", value: tag }]),
  ];
}

interface Wanted {
  readonly delivery: Delivery;
  readonly place: RegistryPlace | undefined;
  readonly folder: string;
  readonly step: StepContext;
}

async function targetsOf(build: StoredBuild, wanted: Wanted): Promise<DeliverTarget[]> {
  const { blobs, tree, targets, version } = build;
  const { delivery, place, folder, step } = wanted;
  const [, ...others] = targets;
  const names = others.map(({ name }) => name);
  checkTargetNames(names, deliveredNames, `${blobs.where}: build ${version}`);
  const common = { ...delivery, blobs, step };
  const additional: DeliverTarget[] = [];
  for (const { name, descriptor } of others) {
    // The tag leads to the main target's image, so it isn't theirs.
    const own = { ...common, place: place && { ...place, tag: undefined } };
    const decided = decideTarget({ ...own, tree: await readTree(blobs, descriptor, step.signal) });
    additional.push({ ...decided, folder: join(folder, name) });
  }
  return [{ ...decideTarget({ ...common, place, tree }), folder }, ...additional];
}
