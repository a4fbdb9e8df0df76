import { type InputFolder, readInputText } from "../builder/inputs/input-folder.ts";
import type { SolveResult } from "../builder/solve/solve-all.ts";
import { deliveredNames } from "../delivery/delivered-files.ts";
import { checkTargetNames } from "../delivery/target-names.ts";
import { UserError } from "../host/errors.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { readTree, versionOf } from "../image/image-tree.ts";
import type { TargetName } from "../image/target-name.ts";
import { readOutRequest } from "../request/out-request.ts";
import type { PutParams } from "../request/put-params.ts";
import type { Source } from "../request/source.ts";
import { planTags, type TagPlan } from "../store/tag-plan.ts";
import type { MetadataField } from "./image-fields.ts";
import type { Invocation } from "./invocation.ts";
import { openStore } from "./open-store.ts";
import { putMetadata } from "./put-metadata.ts";
import { runBuild } from "./run-build.ts";

/**
 * `out`: builds what the params ask for, stores it, and answers with its version.
 * Argument: the put's folder, in which each input lies by its name.
 */
export async function put({ step, args, readInput }: Invocation): Promise<{
  readonly version: { readonly digest: string };
  readonly metadata: readonly MetadataField[];
}> {
  const { source, params } = readOutRequest(await readInput());
  const [folder] = args;
  if (folder === undefined)
    throw new UserError("expected the folder of the put's inputs as the first argument");
  const inputs: InputFolder = { path: folder, kind: "put" };
  checkTargetNames(params.additionalTargets, deliveredNames, "params.additional_targets");
  const tags = await wantedTags(source, params, inputs);
  await using store = await openStore(source, step);
  await using built = await runBuild({
    step,
    options: params,
    folder: inputs,
    access: source.registryAccess,
    daemons: source.daemons,
    cache: source.cache,
    buildkitConfig: source.buildkitConfig,
    keptCache: undefined,
    store,
    timeouts: source.timeouts,
  });
  const { stage, results } = built;
  const [{ target, descriptor: main }] = results;
  const others = params.additionalTargets.map((name) => ({ name, descriptor: resultOf(name, results) }));
  const tree = await readTree(stage.blobs, main, step.signal);
  const version = versionOf(tree);
  const delivery = { unpackRootfs: params.unpackRootfs, outputOci: params.outputOci };
  const aliases = tags.aliases?.(await store.tags(step.signal)) ?? [];
  const all = [...new Set([...tags.tags, ...aliases])];
  await stage.commit({ version, targets: [{ name: target, descriptor: main }, ...others], delivery }, all);
  step.log.line(`stored ${version} in ${store.where}${all.length === 0 ? "" : `, tagged ${all.join(", ")}`}`);
  return {
    version: { digest: version },
    metadata: putMetadata({ tree, results, tags: all, place: source.store }),
  };
}

function resultOf(name: TargetName, [, ...additional]: readonly SolveResult[]): Descriptor {
  const found = additional.find(({ target }) => target === name);
  if (found === undefined) throw new Error(`the build gave no result for target ${name}`);
  return found.descriptor;
}

async function wantedTags(source: Source, params: PutParams, inputs: InputFolder): Promise<TagPlan> {
  const { tagsFile } = params;
  const text = tagsFile === undefined ? undefined : await readInputText(inputs, tagsFile, "tags_file");
  const tagsFromFile = text?.split(/\s+/).filter(Boolean) ?? [];
  if (tagsFile !== undefined && tagsFromFile.length === 0)
    throw new UserError(`tags_file: ${JSON.stringify(tagsFile)} holds no tag`);
  const plan = planTags({
    tags: params.tags,
    tagsFromFile,
    prefix: params.tagPrefix ?? "",
    version: params.version,
    variant: params.variant ?? source.variant,
    bumpAliases: params.bumpAliases,
  });
  if (plan.tags.length > 0 && source.store.kind !== "registry")
    throw new UserError(
      "params: tags need a registry: name source.repository instead of source.directory, or leave them out",
    );
  return plan;
}
