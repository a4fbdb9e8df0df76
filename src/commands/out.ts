import type { InputFolder } from "../builder/inputs/input-folder.ts";
import { UserError } from "../host/errors.ts";
import type { StepContext } from "../host/step-context.ts";
import { uniqueId } from "../host/unique-id.ts";
import {
  type BuildVersion,
  formatBuildVersion,
  putName,
  type VersionFields,
} from "../image/build-version.ts";
import { provenBy } from "../image/proven-layers.ts";
import { formatReference, type Repository } from "../image/reference.ts";
import { type OutRequest, readOutRequest } from "../request/out-request.ts";
import { faultsBy } from "../request/rules.ts";
import type { StorePlace } from "../request/source.ts";
import type { Build, MetadataField } from "../store/build.ts";
import { proveReplacement } from "../store/prove-replacement.ts";
import type { ReadBuild } from "../store/store.ts";
import { inTrace } from "../tracing/tracing.ts";
import { recordBuild } from "./build-record.ts";
import {
  type BuiltTargets,
  contentVersion,
  provenLayers,
  readBuiltTargets,
  recordedResults,
} from "./built-targets.ts";
import type { Invocation } from "./invocation.ts";
import { layerLines } from "./layer-lines.ts";
import { openStore } from "./open-store.ts";
import { putAdvice, sourceAdvice } from "./put-advice.ts";
import { putMetadata } from "./put-metadata.ts";
import { putRules } from "./put-rules.ts";
import { runBuild } from "./run-build.ts";
import { withSourcePolicy } from "./source-policy.ts";
import { wantedTags } from "./wanted-tags.ts";

/**
 * `out`: builds what the params ask for, stores it, and returns its version.
 * Argument: the put's folder, which contains each input in a folder of its name.
 */
export async function put({ step, args, readInput }: Invocation): Promise<{
  readonly version: VersionFields;
  readonly metadata: readonly MetadataField[];
}> {
  const request = readOutRequest(await readInput(), putRules);
  const [folder] = args;
  if (folder === undefined)
    throw new UserError("expected the folder of the put's inputs as the first argument");
  const inputs: InputFolder = { path: folder, kind: "put" };
  const work = (traced: StepContext) => buildAndStore(request, inputs, traced);
  return inTrace(request.source.tracing, step, { name: "put", work });
}

async function buildAndStore(
  { source, params }: OutRequest,
  inputs: InputFolder,
  step: StepContext,
): Promise<Awaited<ReturnType<typeof put>>> {
  const advice = [
    ...faultsBy(sourceAdvice, source),
    ...faultsBy(putAdvice, { source, params, names: step.names }),
  ];
  for (const { message } of advice) step.log.warn(message);
  const plan = await wantedTags(source, params, inputs);
  await using store = await openStore(source, step, params.also);
  await using built = await runBuild({
    step,
    options: await withSourcePolicy(params, inputs, step),
    folder: inputs,
    access: source.registryAccess,
    daemons: source.daemons,
    cache: source.cache,
    buildkitConfig: source.buildkitConfig,
    cacheFolder: undefined,
    store,
    timeouts: source.timeouts,
    tracing: source.tracing,
  });
  const { stage, facts } = built;
  const { results } = facts;
  const targets = await readBuiltTargets(stage, results, params, step);
  const id = putId(step);
  const proven = provenBy(results);
  const layers = provenLayers(targets, proven);
  const version: BuildVersion = {
    ...contentVersion(targets),
    delivery: { unpackRootfs: params.unpackRootfs, outputOci: params.outputOci },
    put: source.versions === "put" ? putName(id.text, layers) : undefined,
  };
  const earlier = await stage.earlier(version);
  const aliases = plan.aliases?.(await store.tags(step.signal)) ?? [];
  const tags = [...new Set([...plan.tags, ...aliases])];
  plan.check(tags);
  const trees = targets.map((target) => target.tree);
  const { tree } = targets[0];
  const metadata = putMetadata({ version, tree, results, tags, at: id.at, env: step.env });
  if (earlier !== undefined) {
    const replacement = { store, stage, version, earlier, trees, proven, step };
    await step.trace("prove layers", () => proveReplacement(replacement));
  }
  const build: ReadBuild = {
    version,
    targets,
    put: {
      id: id.text,
      at: id.at,
      variant: params.variant ?? source.variant,
      metadata,
      layers,
      record: recordBuild(facts, recordedResults(targets, tags), step),
    },
  };
  await step.trace("commit", () => stage.commit(build, tags));
  logStored(targets, { step, tags, place: source.store, also: params.also, where: store.where });
  if (earlier !== undefined) warnOfKnownVersion(version, earlier, step);
  return {
    version: formatBuildVersion(version),
    metadata: [...imageField(source.store, targets), ...metadata],
  };
}

/** A unique id for this put, and its time. Two puts in one build of Concourse get different ids. */
function putId({ env }: StepContext): { readonly text: string; readonly at: number } {
  const at = Date.now();
  const build = /^[A-Za-z0-9]{1,40}$/.exec(env["BUILD_ID"] ?? "")?.[0] ?? "put";
  return { text: `${build}-${new Date(at).toISOString()}-${uniqueId().slice(0, 8)}`, at };
}

/**
 * Concourse gives a version its place in the history when it first sees it, and never moves it (atc/db,
 * SaveOutput).
 */
function warnOfKnownVersion(version: BuildVersion, earlier: Build, { log }: StepContext): void {
  if (JSON.stringify(formatBuildVersion(earlier.version)) !== JSON.stringify(formatBuildVersion(version)))
    return;
  log.line(
    "this version was stored before: Concourse keeps it at its place in the resource's history, and no job is triggered by it again. If every put should be the newest version, set versions: put in the source (docs/versions.md)",
  );
}

interface LoggedPut {
  readonly step: StepContext;
  readonly tags: readonly string[];
  readonly place: StorePlace;
  readonly also: readonly Repository[];
  readonly where: string;
}

function logStored([main, ...others]: BuiltTargets, { step, tags, place, also, where }: LoggedPut): void {
  for (const { name, descriptor, tree, tags: own } of [{ ...main, name: "", tags }, ...others]) {
    const { digest } = descriptor;
    const references =
      place.kind === "registry"
        ? [place.repository, ...also].map((each) => formatReference({ ...each, tag: undefined, digest }))
        : [];
    const stored =
      references.length > 0 ? `stored as ${references.join(" and ")}` : `stored ${digest} in ${where}`;
    const tagged = own.length === 0 ? "" : `, tagged ${own.join(", ")}`;
    const target = name === "" ? "" : `target ${name}: `;
    for (const line of layerLines(tree)) step.log.line(`${target}${line}`);
    step.log.line(`${target}${stored}${tagged}`);
  }
}

function imageField(place: StorePlace, [main]: BuiltTargets): MetadataField[] {
  if (place.kind === "directory") return [];
  const { digest } = main.descriptor;
  return [{ name: "image", value: formatReference({ ...place.repository, tag: undefined, digest }) }];
}
