import * as z from "zod";
import { UserError } from "../host/errors.ts";
import type { Repository } from "../image/reference.ts";
import { cacheField, readLayerCache } from "./cache-fields.ts";
import { daemonFields, daemonRules, readDaemons } from "./daemons.ts";
import { ecrFields, ecrRules, readEcr, readRepository } from "./ecr-fields.ts";
import type { Advise } from "./foreign-names.ts";
import { type PartlyRead, readPartly } from "./read-json.ts";
import { readRegistryAccess, registryFields, registryRules } from "./registry-fields.ts";
import { isRefused, type Rule, thrownBy } from "./rules.ts";
import { nonEmpty, present, text } from "./scalars.ts";
import { readTracing, tracingField } from "./tracing-fields.ts";

const seconds = z.number().positive().max(3600);

/** `source`: field → schema. Only this table defines their names. */
export const sourceFields = {
  repository: nonEmpty
    .optional()
    .describe("Repository of a registry that keeps the builds: `registry.example/app`."),
  directory: nonEmpty
    .regex(/^\//, { error: "expected an absolute path" })
    .optional()
    .describe(
      "Folder that keeps the builds, instead of a repository. For experiments on one worker. Not on NFS, where folders can't be locked.",
    ),
  keep: z
    .strictObject({
      builds: z.number().int().positive().optional().describe("How many of the newest builds stay."),
      days: z.number().positive().optional().describe("Builds that are at most this many days old stay."),
    })
    .optional()
    .describe(
      "Which builds of the same `variant` stay when a new one is stored: `{builds, days}`. Default: all. A version whose build was removed can't be fetched any more, not even by a pin or a re-run.",
    ),
  variant: text.optional().describe("Default of a put's `variant`."),
  versions: z
    .enum(["image", "put"])
    .default("image")
    .describe(
      "What makes a new version: with `image` (default) a put that builds another image, with `put` every put, so that a revert triggers jobs too (docs/versions.md).",
    ),
  ...registryFields,
  timeouts: z
    .strictObject({
      stall: seconds
        .optional()
        .describe("A transfer that brings almost nothing for this long is started again. Default: 30."),
      retry: seconds.optional().describe("Failures that may pass are retried for this long. Default: 120."),
    })
    .default({})
    .describe("Seconds to wait for a registry: `{stall, retry}` (docs/registries.md)."),
  ...ecrFields,
  ...daemonFields,
  cache: cacheField,
  tracing: tracingField,
};

const SourceFields = z.strictObject(sourceFields);
type SourceFields = z.output<typeof SourceFields>;

/** Names the fields as the code does. @throws UserError for fields that break a rule */
function toSource(given: SourceFields) {
  const daemons = readDaemons(given);
  const { repository, aws } = readEcr(given);
  const access = readRegistryAccess(given, repository, aws);
  return {
    store: storePlace(given, repository),
    variant: given.variant,
    versions: given.versions,
    timeouts: present({
      stall: milliseconds(given.timeouts.stall),
      retry: milliseconds(given.timeouts.retry),
    }),
    registryAccess: access,
    daemons,
    buildkitConfig: given.buildkit_config,
    cache: readLayerCache(given.cache, {
      repository,
      isInsecure: (host) => access.hosts.get(host)?.insecure === true,
      hasOwnDaemon: daemons.kind === "own",
    }),
    tracing: readTracing(given.tracing, given.ca_certs),
  };
}
export type Source = ReturnType<typeof toSource>;

/** Reads a resource's `source` as far as it has no faults. */
export function readSourcePartly(given: unknown, advise: Advise): PartlyRead<Source> {
  const { value, faults } = readPartly(SourceFields, given, "source", { advise, rules: sourceFieldRules });
  if (value === undefined) return { value, faults };
  try {
    return { value: toSource(value), faults };
  } catch (thrown) {
    // The rules say everything that is wrong, unless a field that they need is wrong itself.
    if (!(thrown instanceof UserError) || faults.length === 0) throw thrown;
    return { value: undefined, faults };
  }
}

/** Where the builds are kept. */
export type StorePlace =
  | {
      readonly kind: "registry";
      readonly repository: Repository;
      readonly keep: SourceFields["keep"];
    }
  | {
      readonly kind: "directory";
      /** An absolute path. */
      readonly directory: string;
      readonly keep: SourceFields["keep"];
    };

function storePlace({ directory, keep }: SourceFields, repository: Repository | undefined): StorePlace {
  if (repository !== undefined) return { kind: "registry", repository, keep };
  if (directory !== undefined) return { kind: "directory", directory, keep };
  throw new UserError(noStore);
}

const noStore =
  "source: expected repository (registry.example/app) or directory (/path), to keep the builds in; found neither";

function milliseconds(given: number | undefined): number | undefined {
  return given === undefined ? undefined : given * 1000;
}

const storeRules: readonly Rule<SourceFields>[] = [
  {
    of: ["repository", "directory"],
    wants: true,
    faults: ({ repository, directory }) =>
      repository === undefined && directory === undefined ? noStore : undefined,
  },
  {
    of: ["directory", "repository"],
    faults: ({ repository, directory }) =>
      repository !== undefined && directory !== undefined
        ? "source: repository and directory are both given; a resource has one store: remove one"
        : undefined,
  },
  {
    of: ["username", "password"],
    wants: true,
    faults: ({ username, password }) => {
      if ((username === undefined) === (password === undefined)) return undefined;
      const [there, missing] = username === undefined ? ["password", "username"] : ["username", "password"];
      return `source: ${there} is given without ${missing}`;
    },
  },
  {
    of: ["username", "directory", "repository"],
    wants: true,
    faults: ({ directory, repository, username }) =>
      directory !== undefined && repository === undefined && username !== undefined
        ? "source: username and password are those of the repository's registry; with a directory name the host: registries: {host: {username, password}}"
        : undefined,
  },
];

/** What each of the source's parts refuses when it is read. */
const sourceFieldRules: readonly Rule<SourceFields>[] = [
  ...storeRules,
  ...daemonRules,
  ...ecrRules,
  {
    of: ["repository", "aws_region", "aws_account_id"],
    faults: thrownBy(readRepository),
  },
  ...registryRules,
  {
    of: ["cache", "repository", "directory", "aws_region", "aws_account_id", "buildkit", "nodes"],
    faults: (given) => {
      // A wrong name is the matter of the rule above.
      if (isRefused(() => readRepository(given))) return undefined;
      const repository = readRepository(given);
      const hasOwnDaemon = given.buildkit === undefined && given.nodes === undefined;
      readLayerCache(given.cache, { repository, hasOwnDaemon, isInsecure: () => false });
      return undefined;
    },
  },
];
