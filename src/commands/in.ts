import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type DeliverTarget, deliverAll } from "../delivery/deliver.ts";
import { deliveredNames } from "../delivery/delivered-files.ts";
import {
  type DecidedTarget,
  type Delivery,
  decideTarget,
  type RegistryPlace,
} from "../delivery/target-content.ts";
import { checkTargetNames } from "../delivery/target-names.ts";
import { errorCode, UserError } from "../host/errors.ts";
import type { StepContext } from "../host/step-context.ts";
import { isRecord } from "../image/build-record.ts";
import { buildName, formatBuildVersion, type VersionFields } from "../image/build-version.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { formatReference, formatRepository } from "../image/reference.ts";
import { tracedBlobs } from "../image/traced-blobs.ts";
import { type InRequest, readInRequest } from "../request/in-request.ts";
import type { EarlyThreads } from "../rootfs/threads/early-threads.ts";
import type { MetadataField, PutRecord } from "../store/build.ts";
import type { Store, StoredBuild } from "../store/store.ts";
import { inTrace } from "../tracing/tracing.ts";
import { accessRules } from "./access-rules.ts";
import type { Invocation } from "./invocation.ts";
import { openStore } from "./open-store.ts";

/**
 * `in`: delivers a stored build into the folder that its argument names. The main target's files go directly into
 * it, those of each additional target into a folder of its name.
 *
 * Returns the put's metadata too, because Concourse shows the get's metadata instead of the put's.
 */
export async function get({ step, args, readInput }: Invocation): Promise<{
  readonly version: VersionFields;
  readonly metadata: readonly MetadataField[];
}> {
  const request = readInRequest(await readInput(), accessRules);
  const [folder] = args;
  if (folder === undefined) throw new UserError("expected the folder to deliver into as the first argument");
  const work = (traced: StepContext) => getInto(folder, request, traced);
  return inTrace(request.source.tracing, step, { name: "get", work });
}

/** @throws UserError if something else is in the way, or the disk refuses it */
async function makeDestination(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (thrown) {
    const code = errorCode(thrown) ?? "";
    if (!["EEXIST", "ENOTDIR", "ENOENT"].includes(code)) throw thrown;
    throw new UserError(
      `the destination ${folder} is not a folder, and none can be made there (${code}): expected the path of a folder, or one at which nothing is`,
      { cause: thrown },
    );
  }
}

async function getInto(
  folder: string,
  request: InRequest,
  step: StepContext,
): Promise<Awaited<ReturnType<typeof get>>> {
  const { source, version, params } = request;
  const names = version.targets.map(({ name }) => name);
  checkTargetNames(names, deliveredNames, "version.targets");
  await makeDestination(folder);
  const delivery: Delivery = {
    outputOci: params.outputOci ?? version.delivery.outputOci,
    unpackRootfs: params.unpackRootfs ?? version.delivery.unpackRootfs,
    imageTar: params.imageTar,
    platform: params.platform,
  };
  await using threads = params.skipDownload ? undefined : await startThreads(delivery, step);
  await using store = await openStore(source, step);
  const wanted: WantedGet = { request, store, folder, step };
  const { targets, put } =
    params.skipDownload && params.platform === undefined
      ? await unreadTargets(wanted)
      : await deliverBuild(wanted, delivery, threads);
  const [main] = targets;
  return { version: formatBuildVersion(version), metadata: [...placeFields(main), ...put.metadata] };
}

/**
 * Starts the threads that unpack, if that is all there is to do with the image: what writes it has threads of its own.
 * They load while this thread asks the store.
 */
async function startThreads(
  { unpackRootfs, imageTar }: Delivery,
  step: StepContext,
): Promise<EarlyThreads | undefined> {
  if (!unpackRootfs || imageTar) return undefined;
  const { startThreadsEarly } = await import("../rootfs/threads/early-threads.ts");
  return startThreadsEarly(step);
}

interface WantedGet {
  readonly request: InRequest;
  readonly store: Store;
  readonly folder: string;
  readonly step: StepContext;
}

interface Delivered {
  readonly targets: readonly [DecidedTarget, ...DecidedTarget[]];
  readonly put: PutRecord;
}

/** Delivers only what is known without the images. */
async function unreadTargets({ request, store, folder, step }: WantedGet): Promise<Delivered> {
  const { version } = request;
  const { targets, put } = await step.trace("read build", () => store.read(version, step.signal));
  const [main, ...others] = targets;
  const record = readRecord(put, step);
  const decided = (descriptor: Descriptor, digest: typeof version.digest, tag: string | undefined) => ({
    step,
    place: placeOf(request, tag),
    digest,
    top: descriptor.digest,
    record,
    image: undefined,
  });
  const first = { ...decided(main.descriptor, version.digest, buildName(version)), folder };
  const additional = version.targets.flatMap(({ name, digest }) => {
    const found = others.find((other) => other.name === name);
    if (found === undefined) return [];
    return [{ ...decided(found.descriptor, digest, undefined), folder: join(folder, name) }];
  });
  await deliverAll([first, ...additional]);
  return { targets: [first, ...additional], put };
}

async function deliverBuild(
  { request, store, folder, step }: WantedGet,
  delivery: Delivery,
  threads: EarlyThreads | undefined,
): Promise<Delivered> {
  const { version, params } = request;
  await using build = await step.trace("read build", () => store.fetch(version, step.signal));
  const targets = await targetsOf(build, delivery, { request, store, folder, step });
  const [main, ...others] = params.skipDownload ? targets.map(withoutImage) : targets;
  if (main === undefined) throw new Error("a build has a main target");
  await step.trace("deliver", () => deliverAll([main, ...others], threads));
  return { targets: [main, ...others], put: build.put };
}

function withoutImage(target: DeliverTarget): DeliverTarget {
  return { ...target, image: undefined };
}

async function targetsOf(
  { blobs, targets: [main, ...others], put, layersAreProven }: StoredBuild,
  delivery: Delivery,
  { request, store, folder, step }: WantedGet,
): Promise<DeliverTarget[]> {
  const record = readRecord(put, step);
  const common = { ...delivery, blobs: tracedBlobs(blobs, step), layersAreProven, step, record };
  const place = placeOf(request, buildName(request.version));
  const targets: DeliverTarget[] = [{ ...decideTarget({ ...common, place, tree: main.tree }), folder }];
  for (const { name, descriptor, tags, tree } of others) {
    const tag = await firstTag(tags, descriptor, store, step);
    const decided = decideTarget({ ...common, place: placeOf(request, tag), tree });
    targets.push({ ...decided, folder: join(folder, name) });
  }
  return targets;
}

/**
 * The first of an additional target's tags that still leads to it. Unlike the build's own tag, an author's tag may
 * move.
 */
async function firstTag(
  tags: readonly string[],
  descriptor: Descriptor,
  store: Store,
  { signal }: StepContext,
): Promise<string | undefined> {
  for (const tag of tags) if (await store.isTagged(tag, descriptor, signal)) return tag;
  return undefined;
}

/** The build's record. It isn't worth failing for: one that was damaged is left out with a warning. */
function readRecord({ record }: PutRecord, { log }: StepContext): string | undefined {
  if (record === undefined || isRecord(record)) return record;
  log.warn("build.json not delivered: what is stored for it is not the record of a build");
  return undefined;
}

/** Where the image is in a registry; undefined if the store is a directory. */
function placeOf({ source: { store } }: InRequest, tag: string | undefined): RegistryPlace | undefined {
  return store.kind === "directory" ? undefined : { repository: store.repository, tag };
}

function placeFields({ place, top }: DecidedTarget): MetadataField[] {
  if (place === undefined) return [];
  const { repository, tag } = place;
  return [
    { name: "repository", value: formatRepository(repository) },
    ...(tag === undefined ? [] : [{ name: "tag", value: tag }]),
    { name: "image", value: formatReference({ ...repository, tag: undefined, digest: top }) },
  ];
}
