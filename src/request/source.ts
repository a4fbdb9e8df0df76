import { z } from "zod";
import { UserError } from "../host/errors.ts";
import type { Repository } from "../image/reference.ts";
import { cacheField, readLayerCache } from "./cache-fields.ts";
import { daemonFields, readDaemons } from "./daemons.ts";
import { ecrFields, readEcr } from "./ecr-fields.ts";
import { readRegistryAccess, registryFields } from "./registry-fields.ts";
import { nonEmpty, present, text } from "./scalars.ts";

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
      "What makes a new version: `image`, a put that gives another image; or `put`, every put, so that reverts trigger jobs too (docs/versions.md).",
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
};

/** A resource's `source`: reads it, and renames its fields to what the code uses. It must name exactly one store. */
export const Source = z.strictObject(sourceFields).transform((given, { issues }) => {
  // A source with faults isn't renamed: its faults are reported.
  if (issues.length > 0) return z.NEVER;
  checkStore(given);
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
  };
});
export type Source = z.infer<typeof Source>;
type SourceFields = z.output<ReturnType<typeof z.strictObject<typeof sourceFields>>>;

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
  throw namesNoStore();
}

function namesNoStore(): UserError {
  return new UserError(
    "source: names no store; expected repository (registry.example/app) or directory (/path)",
  );
}

function milliseconds(given: number | undefined): number | undefined {
  return given === undefined ? undefined : given * 1000;
}

function checkStore({ repository, directory, username, password }: SourceFields): void {
  if (repository === undefined && directory === undefined) throw namesNoStore();
  if (repository !== undefined && directory !== undefined) {
    throw new UserError(
      "source: repository and directory are both given; a resource has one store: remove one",
    );
  }
  if ((username === undefined) !== (password === undefined)) {
    throw new UserError(
      `source: ${username === undefined ? "password" : "username"} is given without ${username === undefined ? "username" : "password"}`,
    );
  }
  if (repository === undefined && username !== undefined) {
    throw new UserError(
      "source: username and password are those of the repository's registry; with a directory name the host: registries: {host: {username, password}}",
    );
  }
}
