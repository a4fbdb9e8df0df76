import { z } from "zod";
import { UserError } from "../host/errors.ts";
import { parseReferenceHost, type Repository } from "../image/reference.ts";
import type { AwsAccess, HostAccess, RegistryAccess } from "../registry/access.ts";
import { daemonFields, readDaemons } from "./daemons.ts";
import { cloudFields, readCloud } from "./ecr-fields.ts";
import { cacheField, readLayerCache } from "./layer-cache.ts";
import { refuseUnusable } from "./read-json.ts";
import { flag, nonEmpty, pem, present, text } from "./scalars.ts";

/** How to reach one registry, as `registries:` says it for a host and the source's own fields for its store. */
const accessFields = {
  username: nonEmpty.optional().describe("User name for the registry."),
  password: nonEmpty.optional().describe("Password or token of the user."),
  insecure: flag.default(false).describe("Plain http, or https whose certificate isn't checked."),
  ca_certs: pem
    .optional()
    .describe("PEM certificates to trust there besides the system's: text, or a list of texts."),
};

const seconds = z.number().positive().max(3600);

const mirrors = z.array(nonEmpty).default([]);

const registryFields = z.strictObject({
  ...accessFields,
  client_cert: pem.optional().describe("PEM certificate that the registry asks of its clients."),
  client_key: nonEmpty.optional().describe("PEM key of `client_cert`."),
  mirrors: mirrors.describe("Hosts to ask first, in this order: `host[:port][/path]` or a URL."),
});

/** `source`: field → schema; the one place that knows their names. */
export const sourceFields = {
  repository: nonEmpty
    .optional()
    .describe("Repository of a registry that keeps the builds: `registry.example/app`."),
  directory: nonEmpty
    .regex(/^\//, { error: "expected an absolute path" })
    .optional()
    .describe(
      "Folder that keeps the builds, instead of a repository. For one worker, and for tries; not on NFS, where folders can't be locked.",
    ),
  keep: z
    .strictObject({
      builds: z.number().int().positive().optional().describe("Keep the newest so many."),
      days: z.number().positive().optional().describe("Keep those not older than so many days."),
    })
    .optional()
    .describe("Which builds a directory keeps when a new one is stored: `{builds, days}`; by default all."),
  variant: text.optional().describe("Default of a put's `variant`."),
  ...accessFields,
  ca_certs: pem
    .optional()
    .describe(
      "PEM certificates to trust besides the system's, for every registry: text, or a list of texts.",
    ),
  docker_config: z
    .union([z.record(z.string(), z.unknown()), nonEmpty])
    .optional()
    .describe("A Docker client's config.json (`auths`, `credHelpers`), as a map or as its JSON."),
  registries: z
    .record(z.string(), registryFields)
    .default({})
    .describe("By host: the same fields for other registries (FROM, mirrors), and `mirrors` of that host."),
  registry_mirrors: mirrors.describe("Mirrors of docker.io."),
  timeouts: z
    .strictObject({
      stall: seconds
        .optional()
        .describe("A transfer that brings next to nothing for so long is begun again. Default: 30."),
      retry: seconds
        .optional()
        .describe("What fails for a reason that may pass is retried for so long. Default: 120."),
    })
    .default({})
    .describe("Seconds that a registry is waited for: `{stall, retry}`."),
  ...cloudFields,
  ...daemonFields,
  cache: cacheField,
};

/** A resource's `source`, renamed to what the commands use. Exactly one store is named. */
export const Source = z.strictObject(sourceFields).transform((given, { issues }) => {
  // A value with faults is not renamed; those faults are what is told.
  if (issues.length > 0) return z.NEVER;
  checkStore(given);
  const daemons = readDaemons(given);
  const { repository, aws } = readCloud(given);
  const access = registryAccess(given, repository, aws);
  return {
    store: storePlace(given, repository),
    variant: given.variant,
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
  | { readonly kind: "registry"; readonly repository: Repository }
  | {
      readonly kind: "directory";
      /** An absolute path. */
      readonly directory: string;
      readonly keep: SourceFields["keep"];
    };

function storePlace({ directory, keep }: SourceFields, repository: Repository | undefined): StorePlace {
  if (repository !== undefined) return { kind: "registry", repository };
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

function checkStore({ repository, directory, username, password, keep }: SourceFields): void {
  if (repository === undefined && directory === undefined) throw namesNoStore();
  if (repository !== undefined && directory !== undefined) {
    throw new UserError(
      "source: repository and directory are both given; a resource has one store: remove one",
    );
  }
  if (repository !== undefined && keep !== undefined) {
    throw new UserError(
      "source: keep is for builds in a directory; a registry removes old tags by rules of its own: remove keep",
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

function registryAccess(
  given: SourceFields,
  repository: Repository | undefined,
  aws: AwsAccess | undefined,
): RegistryAccess {
  const hosts = new Map<string, HostAccess>();
  for (const [host, fields] of Object.entries(given.registries)) {
    const name = parseReferenceHost(host, `source.registries.${host}`);
    hosts.set(name, hostAccess(name, fields, hosts));
  }
  if (repository !== undefined) {
    const own = repository.host;
    const { username, password, insecure, ca_certs: caCerts } = given;
    const store = present({ username, password, insecure: insecure || undefined, caCerts });
    if (Object.keys(store).length > 0) hosts.set(own, { ...hosts.get(own), ...store });
  }
  if (given.registry_mirrors.length > 0) {
    const hub = hosts.get("docker.io");
    const names = given.registry_mirrors.map((mirror) => mirrorName(mirror, hosts));
    hosts.set("docker.io", { ...hub, mirrors: [...names, ...(hub?.mirrors ?? [])] });
  }
  const dockerConfig = given.docker_config === undefined ? undefined : parseDockerConfig(given.docker_config);
  return { hosts, ...present({ caCerts: given.ca_certs, dockerConfig, aws }) };
}

function hostAccess(
  name: string,
  fields: z.output<typeof registryFields>,
  hosts: Map<string, HostAccess>,
): HostAccess {
  if ((fields.username === undefined) !== (fields.password === undefined)) {
    throw new UserError(`source.registries.${name}: expected username and password together`);
  }
  const names = fields.mirrors.map((mirror) => mirrorName(mirror, hosts));
  return {
    ...hosts.get(name),
    ...present({
      username: fields.username,
      password: fields.password,
      insecure: fields.insecure || undefined,
      caCerts: fields.ca_certs,
      clientCert: fields.client_cert,
      clientKey: fields.client_key,
      mirrors: names.length > 0 ? names : undefined,
    }),
  };
}

/** A mirror as BuildKit takes it, without a scheme; `http://` marks its host as one to be reached that way. */
export function mirrorName(mirror: string, hosts: Map<string, HostAccess>): string {
  const [, scheme, rest = mirror] = /^(https?):\/\/(.*)$/.exec(mirror) ?? [];
  const name = rest.replace(/\/+$/, "");
  const [host = name] = name.split("/");
  if (!/^[^\s@?#]+$/.test(name)) {
    throw new UserError(
      "source: a mirror has characters that no host has; expected host[:port][/path], its credentials under registries",
    );
  }
  if (scheme === "http") hosts.set(host, { ...hosts.get(host), insecure: true });
  return name;
}

function parseDockerConfig(given: string | Record<string, unknown>): Record<string, unknown> {
  if (typeof given !== "string") return given;
  try {
    const value: unknown = JSON.parse(given);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      refuseUnusable(value, ["source", "docker_config"]);
      return value as Record<string, unknown>;
    }
  } catch (thrown) {
    // JSON.parse would quote what may be a password.
    if (thrown instanceof UserError) throw thrown;
  }
  throw new UserError("source.docker_config: expected a map, or its JSON text, as in ~/.docker/config.json");
}
