import { UserError } from "../host/errors.ts";
import { isBuildName } from "../image/build-version.ts";
import { parseTag } from "../image/reference.ts";

/** The tags that a put's params (and the source's variant) ask for; see the registry-image resource's README. */
export interface TagWishes {
  readonly tags: readonly string[];
  /** Tags read from the files of `tags_file`, with their prefixes. */
  readonly tagsFromFiles: readonly string[];
  /** Put in front of the version and its numbered aliases. */
  readonly prefix: string;
  /** A semantic version. */
  readonly version: string | undefined;
  /** The param that the version came by, for messages; `params.version` if left out. */
  readonly versionParam?: "params.version" | "version_file";
  /** Put behind the version and its aliases: `1.2.3-alpine`. */
  readonly variant: string | undefined;
  readonly bumpAliases: boolean;
  /** Whether the resource writes this tag itself in the same repository, for something other than builds. */
  readonly isReserved: (tag: string) => boolean;
}

/** The tags that are known before the build, and the aliases that depend on the repository's tags after it. */
export interface TagPlan {
  readonly tags: readonly string[];
  /** The aliases to move, given all tags of the repository. Undefined if there are none to move. */
  readonly aliases: ((existing: readonly string[]) => string[]) | undefined;
}

/** A parsed version. A prerelease never moves an alias, and is ignored when the newest version is looked for. */
interface Version {
  readonly numbers: readonly [major: number, minor: number, patch: number];
  readonly prerelease: string | undefined;
}

/**
 * Plans the tags. Pure.
 * @throws UserError for an invalid tag or version, and for a param that needs another one
 */
export function planTags(wishes: TagWishes): TagPlan {
  const { prefix, variant, isReserved } = wishes;
  const { versionParam = "params.version" } = wishes;
  const version = wishes.version === undefined ? undefined : parseVersion(wishes.version, versionParam);
  if (variant !== undefined) parseTag(variant, "variant");
  const suffix = variant === undefined ? "" : `-${variant}`;
  const named = (numbers: string) => `${prefix}${numbers}${suffix}`;
  const tags = [
    ...wishes.tags.map((tag) => authorsTag(tag, "params.tags", isReserved)),
    ...wishes.tagsFromFiles.map((tag) => authorsTag(tag, "params.tags_file", isReserved)),
    ...(version === undefined ? [] : [authorsTag(named(formatVersion(version)), versionParam, isReserved)]),
  ];
  const bumps = wishes.bumpAliases && version !== undefined && version.prerelease === undefined;
  return {
    tags: [...new Set(tags)],
    aliases: bumps
      ? (existing) => {
          const others = existing.flatMap((tag) => numbersOf(tag, prefix, suffix));
          return aliasesOf(version, others).map((alias) =>
            authorsTag(
              alias === undefined ? (variant ?? "latest") : named(alias),
              "params.bump_aliases",
              isReserved,
            ),
          );
        }
      : undefined,
  };
}

/** The aliases of which this version is the newest: `1.2`, `1`, and undefined for the alias without numbers. */
function aliasesOf({ numbers }: Version, others: readonly Version["numbers"][]): (string | undefined)[] {
  const [major, minor] = numbers;
  const newestOf = (rivals: readonly Version["numbers"][]) =>
    rivals.every((rival) => compare(rival, numbers) <= 0);
  const ofMajor = others.filter((other) => other[0] === major);
  const ofMinor = ofMajor.filter((other) => other[1] === minor);
  return [
    ...(newestOf(ofMinor) ? [`${major}.${minor}`] : []),
    ...(newestOf(ofMajor) ? [`${major}`] : []),
    ...(newestOf(others) ? [undefined] : []),
  ];
}

/**
 * The version that a tag of the same prefix and variant names (`1.2` counts as 1.2.0). Empty if there is none, or
 * if it is a prerelease.
 */
function numbersOf(tag: string, prefix: string, suffix: string): Version["numbers"][] {
  if (!tag.startsWith(prefix) || !tag.endsWith(suffix) || tag.length < prefix.length + suffix.length)
    return [];
  const version = readVersion(tag.slice(prefix.length, tag.length - suffix.length));
  return version === undefined || version.prerelease !== undefined ? [] : [version.numbers];
}

function compare(one: Version["numbers"], other: Version["numbers"]): number {
  return one[0] - other[0] || one[1] - other[1] || one[2] - other[2];
}

// semver.org, items 2 and 9. A leading `v` and missing numbers are handled as in the registry-image resource.
// Fifteen digits are exact in a double.
const versionForm =
  /^v?(0|[1-9]\d{0,14})(?:\.(0|[1-9]\d{0,14}))?(?:\.(0|[1-9]\d{0,14}))?(?:-([0-9A-Za-z.-]+))?$/;

function readVersion(text: string): Version | undefined {
  const [, major, minor = "0", patch = "0", prerelease] = versionForm.exec(text) ?? [];
  if (major === undefined) return undefined;
  return { numbers: [Number(major), Number(minor), Number(patch)], prerelease };
}

function parseVersion(text: string, subject: string): Version {
  const trimmed = text.trim();
  if (trimmed.includes("+")) {
    throw new UserError(
      `${subject}: ${JSON.stringify(trimmed)} has build metadata (+…), which no tag can hold: leave it out`,
    );
  }
  const version = readVersion(trimmed);
  if (version !== undefined) return version;
  const fromFile = trimmed.includes("/")
    ? "; if this is a file's path, load the file by a load_var step and write its ((.:name)) here"
    : "";
  throw new UserError(
    `${subject}: ${JSON.stringify(trimmed)} is not a semantic version; expected one such as 1.2.3 or 1.2.3-rc.1 (semver.org)${fromFile}`,
  );
}

function formatVersion({ numbers, prerelease }: Version): string {
  return `${numbers.join(".")}${prerelease === undefined ? "" : `-${prerelease}`}`;
}

/**
 * The tag that names a version.
 * @throws UserError if the version or the tag is not valid
 */
export function versionTag(
  given: Pick<TagWishes, "prefix" | "variant" | "versionParam"> & { readonly version: string },
): string {
  const { prefix, variant, version, versionParam = "params.version" } = given;
  const suffix = variant === undefined ? "" : `-${variant}`;
  return parseTag(`${prefix}${formatVersion(parseVersion(version, versionParam))}${suffix}`, versionParam);
}

/**
 * Checks the tags of additional targets.
 * @param main the main target's tags
 * @param targetTags tags by the target's name
 * @throws UserError for an invalid tag, or a tag that two images would have
 */
export function checkTargetTags(
  main: readonly string[],
  targetTags: ReadonlyMap<string, readonly string[]>,
  isReserved: TagWishes["isReserved"],
): void {
  const owners = new Map(main.map((tag) => [tag, "the main target"]));
  for (const [name, tags] of targetTags) {
    for (const tag of new Set(tags)) {
      authorsTag(tag, `params.additional_targets.${name}.tags`, isReserved);
      const other = owners.get(tag);
      if (other !== undefined)
        throw new UserError(
          `params.additional_targets.${name}.tags: ${JSON.stringify(tag)} is also a tag of ${other}; a tag leads to one image`,
        );
      owners.set(tag, `target ${name}`);
    }
  }
}

/**
 * Checks a tag of the author's. It must not be one that the resource writes itself.
 * @throws UserError naming `subject`
 */
export function authorsTag(tag: string, subject: string, isReserved: TagWishes["isReserved"]): string {
  if (isBuildName(tag))
    throw new UserError(
      `${subject}: ${JSON.stringify(tag)} has the form of the tags that builds are kept under (build- and 64 hex digits): choose another`,
    );
  if (isReserved(tag))
    throw new UserError(
      `${subject}: ${JSON.stringify(tag)} is a tag of the layer cache, which it would overwrite: choose another, or keep the cache under another name (cache: {ref: …})`,
    );
  return parseTag(tag, subject);
}
