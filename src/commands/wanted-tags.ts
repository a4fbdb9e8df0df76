import { type InputFolder, readInputText } from "../builder/inputs/input-folder.ts";
import { type CacheScope, cacheTagsIn } from "../builder/plan/layer-cache.ts";
import { UserError } from "../host/errors.ts";
import { formatPlatform } from "../image/platform.ts";
import type { PutParams } from "../request/put-params.ts";
import type { Source } from "../request/source.ts";
import { checkTargetTags, planTags, type TagPlan } from "../store/tag-plan.ts";

/** The tags that a put sets, and a check against conflicts. */
export interface WantedTags extends TagPlan {
  /**
   * @throws UserError for a tag that two images would have, and for a tag that the resource writes for its layer
   * cache
   */
  check(main: readonly string[]): void;
}

/**
 * Reads the tags that the params and their files ask for.
 * @throws UserError before anything is built, if a tag is not valid or not possible
 */
export async function wantedTags(
  source: Source,
  params: PutParams,
  inputs: InputFolder,
): Promise<WantedTags> {
  const isReserved = reservedTags(source, params);
  const plan = planTags({
    tags: params.tags,
    tagsFromFiles: await tagsFromFiles(params, inputs),
    prefix: params.tagPrefix ?? "",
    version: await wantedVersion(params, inputs),
    versionParam: params.versionFile === undefined ? "params.version" : "version_file",
    variant: params.variant ?? source.variant,
    bumpAliases: params.bumpAliases,
    isReserved,
  });
  const check = (main: readonly string[]) => checkTargetTags(main, params.targetTags, isReserved);
  check(plan.tags);
  return { ...plan, check };
}

async function tagsFromFiles({ tagsFiles, tagPrefix }: PutParams, inputs: InputFolder): Promise<string[]> {
  const found: string[] = [];
  for (const { file, prefix = tagPrefix ?? "" } of tagsFiles) {
    const text = await readInputText(inputs, file, "tags_file");
    const tags = text.split(/\s+/).filter(Boolean);
    if (tags.length === 0) throw new UserError(`tags_file: ${JSON.stringify(file)} contains no tag`);
    found.push(...tags.map((tag) => `${prefix}${tag}`));
  }
  return found;
}

async function wantedVersion(
  { version, versionFile }: PutParams,
  inputs: InputFolder,
): Promise<string | undefined> {
  if (versionFile === undefined) return version;
  const text = (await readInputText(inputs, versionFile, "version_file")).trim();
  if (text === "") throw new UserError(`version_file: ${JSON.stringify(versionFile)} contains no version`);
  return text;
}

/** Returns whether a tag is one of the layer cache's, in any repository that the put tags. */
export function reservedTags({ store, cache, daemons }: Source, params: PutParams): (tag: string) => boolean {
  if (store.kind === "directory") return () => false;
  const nodes = daemons.kind === "nodes" ? daemons.nodes.flatMap(({ platforms }) => platforms) : [];
  const platforms = [undefined, ...[...params.platforms, ...nodes].map(formatPlatform)];
  const scopes = ["", ...params.additionalTargets].flatMap((target) =>
    platforms.map((platform): CacheScope => ({ target, platform })),
  );
  const tagged = [store.repository, ...params.also].map((each) => cacheTagsIn(cache, each, scopes));
  return (tag) => tagged.some((isCacheTag) => isCacheTag(tag));
}
