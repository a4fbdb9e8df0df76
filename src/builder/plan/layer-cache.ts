import type { Reference, Repository } from "../../image/reference.ts";
import type { AttributePairs } from "./csv.ts";

/** BuildKit's kinds of layer cache (BuildKit, README.md, "Export cache"). */
export type CacheType = "registry" | "s3" | "azblob" | "gha" | "local";

/** One place where a layer cache is stored. */
export interface CacheLocation {
  readonly type: CacheType;
  /**
   * Attributes by BuildKit's names, without those that hold secrets: `ref` for a registry, `directory` for `local`.
   */
  readonly attributes: Readonly<Record<string, string>>;
  /** The parsed `ref`, for a registry. */
  readonly reference?: Reference | undefined;
  /** `max` keeps the steps of all stages, `min` those of the result. */
  readonly mode: "min" | "max";
  /** Whether this build's steps are added to the cache. Steps are looked up in it in any case. */
  readonly export: boolean;
  /** Settings for the content of `RUN --mount=type=cache`. Undefined if it isn't kept in this location. */
  readonly mounts?: MountSettings | undefined;
}

/** Whether a build restores and saves the cache mounts kept with a layer cache, and how much is kept. */
export interface MountSettings {
  readonly restore: boolean;
  readonly save: boolean;
  /** Bytes, uncompressed. */
  readonly limit: number;
  /** Whether it is a task's own limit, which its author can't change. */
  readonly isFixed?: boolean;
  /** Whether they are copied even if that takes longer than it saves. */
  readonly always: boolean;
}

export const defaultMounts: MountSettings = {
  restore: true,
  save: true,
  limit: 2 * 1024 ** 3,
  always: false,
};

export interface LayerCache {
  readonly locations: readonly CacheLocation[];
  /** For a daemon started by the step: credentials that BuildKit reads from its environment. */
  readonly ownDaemonEnv: Readonly<Record<string, string>>;
  /** For buildctl: credentials that it reads from its environment and passes to the daemon. */
  readonly buildctlEnv: Readonly<Record<string, string>>;
}

export const noLayerCache: LayerCache = { locations: [], ownDaemonEnv: {}, buildctlEnv: {} };

/** The solve whose steps a cache holds. Solves that run at the same time must not write to the same place. */
export interface CacheScope {
  /** Empty for the main target. */
  readonly target: string;
  /** The platform, if each platform is a separate solve. */
  readonly platform: string | undefined;
}

/** The attributes of each `--import-cache` and `--export-cache` of a solve. Pure. */
export function cacheAttributes(
  { locations }: Pick<LayerCache, "locations">,
  scope: CacheScope,
): { readonly imports: readonly AttributePairs[]; readonly exports: readonly AttributePairs[] } {
  const own = suffix(scope);
  // Stages that targets share may be in the main target's cache too.
  const looked = own === "" ? [""] : [own, ""];
  return {
    imports: locations.flatMap((location) => looked.map((name) => importing(location, name))),
    exports: locations.filter((location) => location.export).map((location) => exporting(location, own)),
  };
}

/**
 * The attributes for keeping something in a location beside the layers of targets. Pure.
 * @param name begins with a dot, so that it can't be that of a target
 */
export function besideAttributes(
  location: CacheLocation,
  name: string,
): { readonly imports: AttributePairs; readonly exports: AttributePairs } {
  // The other kinds of cache have no such attribute.
  const isOurs = location.type === "registry" || location.type === "local";
  const attributes = isOurs ? { ...location.attributes, compression: "zstd" } : location.attributes;
  return {
    imports: importing(location, name),
    exports: exporting({ ...location, attributes, mode: "max" }, name),
  };
}

/**
 * Returns a test for the tags under which a repository keeps the layer cache: the tags of the given scopes, and
 * those of data kept beside them. Pure.
 * @param scopes of the builds in question
 */
export function cacheTagsIn(
  { locations }: Pick<LayerCache, "locations">,
  { host, path }: Repository,
  scopes: readonly CacheScope[],
): (tag: string) => boolean {
  const roots = locations.flatMap(({ reference }) =>
    reference?.host === host && reference.path === path ? (reference.tag ?? []) : [],
  );
  const layers = new Set(roots.flatMap((root) => scopes.map((scope) => `${root}${suffix(scope)}`)));
  return (tag) => layers.has(tag) || roots.some((root) => tag.startsWith(`${root}.`));
}

/** The folder in which a local cache keeps the steps of a scope. */
export function localFolder(directory: string, scope: CacheScope): string {
  return cacheFolder({ directory }, suffix(scope));
}

function cacheFolder({ directory }: CacheLocation["attributes"], name: string): string {
  return `${directory}/cache${name}`;
}

/** The suffix of a scope's cache, in characters that a tag may have: `-test-linux-arm64`. */
function suffix({ target, platform }: CacheScope): string {
  return [target, platform ?? ""]
    .filter((part) => part !== "")
    .map((part) => `-${part.replaceAll(/[^A-Za-z0-9_.-]/g, "-")}`)
    .join("");
}

function importing({ type, attributes }: CacheLocation, name: string): AttributePairs {
  if (type === "local")
    return [
      ["type", type],
      ["src", cacheFolder(attributes, name)],
    ];
  return [["type", type], ...scoped(type, attributes, name)];
}

function exporting({ type, attributes, mode }: CacheLocation, name: string): AttributePairs {
  return [
    ["type", type],
    ...(type === "local" ? toFolder(attributes, name) : scoped(type, attributes, name)),
    ["mode", mode],
    // A cache that can't be written must not fail the build.
    ["ignore-error", "true"],
    // ECR doesn't accept an index as a cache.
    ...(type === "registry" || type === "local"
      ? ([
          ["image-manifest", "true"],
          ["oci-mediatypes", "true"],
        ] as const)
      : []),
  ];
}

function toFolder(attributes: CacheLocation["attributes"], name: string): AttributePairs {
  const { compression } = attributes;
  return [
    ["dest", cacheFolder(attributes, name)],
    ...(compression === undefined ? [] : [["compression", compression] as const]),
  ];
}

/** The attribute that distinguishes caches in one place, and BuildKit's default for it. */
const scopeAttributes = {
  registry: ["ref", ""],
  s3: ["name", "buildkit"],
  azblob: ["name", "buildkit"],
  gha: ["scope", "buildkit"],
} as const;

function scoped(
  type: Exclude<CacheType, "local">,
  attributes: Readonly<Record<string, string>>,
  suffixed: string,
): AttributePairs {
  const [key, byDefault] = scopeAttributes[type];
  const name = attributes[key] ?? byDefault;
  return Object.entries(suffixed === "" ? attributes : { ...attributes, [key]: `${name}${suffixed}` });
}
