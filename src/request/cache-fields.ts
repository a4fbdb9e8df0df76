import * as z from "zod";
import { UserError } from "../host/errors.ts";
import { formatReference, parseReference, type Reference, type Repository } from "../image/reference.ts";
import { bytes, flag, nonEmpty, singleWord, text } from "./scalars.ts";
import { secret } from "./schema-parts.ts";

const mountSettings = z.strictObject({
  restore: flag.default(true).describe("Whether builds begin with what is kept."),
  save: flag.default(true).describe("Whether builds add to it."),
  limit: bytes.default(2 * 1024 ** 3).describe("Bytes kept at most, uncompressed: `5g`. By default `2g`."),
  always: flag.default(false).describe("Whether they are kept even if copying takes longer than it saves."),
});

const common = {
  mode: z
    .enum(["min", "max"])
    .default("max")
    .describe("`max` keeps the steps of all stages, `min` those of the result."),
  export: flag
    .default(true)
    .describe("Whether builds add to it, and save cache mounts there; they always look in it."),
  mounts: z
    .union([flag, mountSettings], { error: "expected true, or {restore, save, limit, always}" })
    .default(false)
    .describe("Whether the content of `RUN --mount=type=cache` is kept there too."),
};
const value = text.optional();
// URLs become arguments, which everybody on the machine can read, so they must not hold a user, a password or a
// query.
const url = secret(z.string()).regex(/^https?:\/\/[^\s@?#]+$/, {
  error: "expected a URL without user, password and query",
});

const registryCache = z.strictObject({
  type: z.literal("registry").default("registry"),
  ref: secret(nonEmpty)
    .optional()
    .describe("Image name; by default the tag `buildcache` of the source's repository."),
  compression: z.enum(["gzip", "zstd", "estargz", "uncompressed"]).optional(),
  "compression-level": value,
  "force-compression": value,
  ...common,
});
const s3Cache = z.strictObject({
  type: z.literal("s3"),
  bucket: nonEmpty,
  region: nonEmpty,
  name: value,
  prefix: value,
  manifests_prefix: value,
  blobs_prefix: value,
  endpoint_url: url.optional(),
  use_path_style: value,
  upload_parallelism: value,
  touch_refresh: value,
  access_key_id: secret(singleWord).optional(),
  secret_access_key: secret(singleWord).optional(),
  session_token: secret(singleWord).optional(),
  ...common,
});
const azblobCache = z.strictObject({
  type: z.literal("azblob"),
  account_url: url,
  account_name: value,
  container: value,
  name: value,
  prefix: value,
  manifests_prefix: value,
  blobs_prefix: value,
  tenant_id: secret(nonEmpty).optional(),
  client_id: secret(nonEmpty).optional(),
  client_secret: secret(nonEmpty).optional(),
  ...common,
});
const ghaCache = z.strictObject({
  type: z.literal("gha"),
  url,
  token: secret(nonEmpty),
  scope: value,
  timeout: value,
  version: value,
  ...common,
});
const localCache = z.strictObject({
  type: z.literal("local"),
  directory: nonEmpty.regex(/^\//, { error: "expected an absolute path" }),
  ...common,
});

const location = z.union([registryCache, s3Cache, azblobCache, ghaCache, localCache], {
  error:
    "expected {ref: …}, or {type: s3, azblob, gha or local} with that type's own fields (see docs/caching.md)",
});

/** `source.cache` */
export const cacheField = z
  .union([flag, location, z.array(location)], {
    error: "expected true, a cache ({ref: …} or {type: …}), or a list of caches",
  })
  .default(false)
  .describe(
    "Layer cache that all workers share. `true`: the tag `buildcache` of the repository. Or `{ref, mode, export, mounts}`, or BuildKit's types `s3`, `azblob`, `gha` and `local` with their fields, or a list of these. `mounts: true` keeps the content of `RUN --mount=type=cache` there too (docs/caching.md).",
  );

type Location = z.output<typeof location>;
type KeptMounts = z.output<typeof mountSettings>;

/**
 * Secret fields, which must not become arguments, and the environment variables from which BuildKit (`daemon`) or
 * buildctl (`client`) reads them instead.
 */
const secrets = {
  daemon: {
    access_key_id: "AWS_ACCESS_KEY_ID",
    secret_access_key: "AWS_SECRET_ACCESS_KEY",
    session_token: "AWS_SESSION_TOKEN",
    tenant_id: "AZURE_TENANT_ID",
    client_id: "AZURE_CLIENT_ID",
    client_secret: "AZURE_CLIENT_SECRET",
  },
  client: { token: "ACTIONS_RUNTIME_TOKEN" },
} as const;

export interface CacheContext {
  readonly repository: Repository | undefined;
  /** Whether a host is reached by plain http, or by https with a certificate that isn't checked. */
  readonly isInsecure: (host: string) => boolean;
  /** Whether the step starts its own daemon, which can be given environment variables. */
  readonly hasOwnDaemon: boolean;
}

/**
 * The layer cache of a source.
 * @throws UserError if there is no repository to keep it in, or its credentials can't be passed to the daemon
 */
export function readLayerCache(given: z.output<typeof cacheField>, context: CacheContext) {
  const wanted = given === true ? [registryCache.parse({})] : given === false ? [] : [given].flat();
  const ownDaemonEnv: Record<string, string> = {};
  const buildctlEnv: Record<string, string> = {};
  const locations = wanted.map((each) => {
    const rest = apart(each, secrets.client, buildctlEnv);
    const found = Object.keys(rest).find((key) => key in secrets.daemon);
    if (found !== undefined && !context.hasOwnDaemon) {
      throw new UserError(
        `source.cache: ${found} can't be given to a BuildKit elsewhere without showing it to everybody on this machine: give that daemon its own credentials (variables such as ${secrets.daemon[found as keyof typeof secrets.daemon]}), and remove it here`,
      );
    }
    const {
      type,
      mode,
      export: isExported,
      mounts: _,
      ...fields
    } = apart(rest, secrets.daemon, ownDaemonEnv);
    return {
      type: type as Location["type"],
      mode: mode as Location["mode"],
      export: isExported === true,
      ...(type === "registry" ? registryPlace(fields, context) : { attributes: stringFields(fields) }),
      mounts: readMounts(each),
    };
  });
  return { locations, ownDaemonEnv, buildctlEnv };
}

/** A cache to which builds add nothing gets no cache mounts either. */
function readMounts({ mounts, export: isExported }: Location): KeptMounts | undefined {
  if (mounts === false) return undefined;
  const settings = mounts === true ? mountSettings.parse({}) : mounts;
  return isExported ? settings : { ...settings, save: false };
}

/** Moves the secret fields into `env`, and returns the others. */
function apart(
  fields: Readonly<Record<string, unknown>>,
  names: Readonly<Record<string, string>>,
  env: Record<string, string>,
): Record<string, unknown> {
  const rest: Record<string, unknown> = {};
  for (const [key, content] of Object.entries(fields)) {
    const name = names[key];
    if (content === undefined) continue;
    if (name === undefined) {
      rest[key] = content;
      continue;
    }
    if (env[name] !== undefined && env[name] !== content) {
      throw new UserError(
        `source.cache: two caches have different ${key}; BuildKit takes one for all of them`,
      );
    }
    env[name] = content as string;
  }
  return rest;
}

function registryPlace(
  { ref, ...others }: Record<string, unknown>,
  { repository, isInsecure }: CacheContext,
): { readonly reference: Reference; readonly attributes: Record<string, string> } {
  const given = typeof ref === "string" ? parseReference(ref, "source.cache.ref") : repository;
  if (given === undefined) {
    throw new UserError(
      "source.cache: a directory store has no repository to keep the cache in; give cache: {ref: registry.example/app:buildcache}, or {type: local, directory: /path}",
    );
  }
  const named: Reference = { tag: undefined, digest: undefined, ...given };
  if (named.digest !== undefined) {
    throw new UserError("source.cache.ref: a cache is written again and again: expected a tag, not a digest");
  }
  const reference = { ...named, tag: named.tag ?? "buildcache" };
  const insecure = isInsecure(reference.host) ? { "registry.insecure": "true" } : {};
  return {
    reference,
    attributes: { ref: formatReference(reference), ...insecure, ...stringFields(others) },
  };
}

function stringFields(fields: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([key, content]) => [key, String(content)]));
}
