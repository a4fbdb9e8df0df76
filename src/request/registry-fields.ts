import * as z from "zod";
import { UserError } from "../host/errors.ts";
import { parseReferenceHost, type Repository } from "../image/reference.ts";
import type { AwsAccess, HostAccess, RegistryAccess } from "../registry/access.ts";
import { hostOfServer, parseDockerConfig } from "../registry/docker-config.ts";
import { withMirrors } from "../registry/mirrors.ts";
import { adviseWithin } from "./foreign-names.ts";
import { placesBelow, readAs, refuseUnusable } from "./read-json.ts";
import { type PlacedMessage, placed, type Rule, thrownBy } from "./rules.ts";
import { flag, nonEmpty, pem, present } from "./scalars.ts";
import { secret } from "./schema-parts.ts";

/**
 * How to reach one registry. These are fields both of a host under `registries` and of the source itself, for its
 * store.
 */
const accessFields = {
  username: secret(nonEmpty).optional().describe("User name for the registry."),
  password: secret(nonEmpty).optional().describe("Password or token of the user."),
  insecure: flag.default(false).describe("Plain http, or https whose certificate isn't checked."),
  ca_certs: secret(pem)
    .optional()
    .describe("PEM certificates to trust there besides the system's: text, or a list of texts."),
};

const mirrors = secret(z.array(nonEmpty)).default([]);

const hostFields = z.strictObject({
  ...accessFields,
  client_cert: secret(pem).optional().describe("PEM certificate that the registry asks of its clients."),
  client_key: secret(nonEmpty).optional().describe("PEM key of `client_cert`."),
  mirrors: mirrors.describe("Hosts to ask first, in this order: `host[:port][/path]` or a URL."),
});

/** Fields of `source`: how to reach the store's registry and all others. */
export const registryFields = {
  ...accessFields,
  ca_certs: secret(pem)
    .optional()
    .describe(
      "PEM certificates to trust besides the system's, for every registry and the receiver of traces: text, or a list of texts.",
    ),
  docker_config: secret(
    z.union([z.record(z.string(), z.unknown()), nonEmpty], {
      error: "expected a map, or its JSON text, as in ~/.docker/config.json",
    }),
  )
    .optional()
    .describe("A Docker client's config.json (`auths`, `credHelpers`), as a map or as its JSON."),
  registries: z
    .record(z.string(), hostFields)
    .default({})
    .describe(
      "Other registries by host (for FROM, mirrors, caches): the same fields, client certificates, and `mirrors` of that host (docs/registries.md).",
    ),
  registry_mirrors: mirrors.describe("Mirrors of docker.io, asked in this order before it."),
};
type RegistryFields = z.output<ReturnType<typeof z.strictObject<typeof registryFields>>>;

/**
 * How to reach every registry that the source names.
 * @param repository the store's repository, unless the store is a directory
 * @throws UserError for fields that don't go together
 */
export function readRegistryAccess(
  given: RegistryFields,
  repository: Repository | undefined,
  aws: AwsAccess | undefined,
): RegistryAccess {
  const own = readHosts(given.registries, "source.registries");
  if (repository !== undefined) {
    const { username, password, insecure, ca_certs: caCerts } = given;
    const store = present({ username, password, insecure: insecure || undefined, caCerts });
    if (Object.keys(store).length > 0) own.set(repository.host, { ...own.get(repository.host), ...store });
  }
  const hosts = withMirrors(
    withOwnMirrors(own, given.registries, "source.registries"),
    "docker.io",
    given.registry_mirrors,
    ownMirror,
  );
  const dockerConfig = given.docker_config === undefined ? undefined : readDockerConfig(given.docker_config);
  return { hosts, ...present({ caCerts: given.ca_certs, dockerConfig, aws }) };
}

const ownMirror = (index: number): string => `source.registry_mirrors.${index}`;

/** What goes together in the fields of registries. */
export const registryRules: readonly Rule<RegistryFields>[] = [
  { of: ["registries"], faults: ({ registries }) => hostFaults(registries, "source.registries") },
  {
    of: ["registry_mirrors"],
    faults: thrownBy(({ registry_mirrors: names }) => withMirrors(new Map(), "docker.io", names, ownMirror)),
  },
  {
    of: ["docker_config"],
    faults: thrownBy(({ docker_config: given }) =>
      given === undefined ? undefined : readDockerConfig(given),
    ),
  },
];

/** What is wrong with the hosts of a map of registries, each placed at its entry. */
function hostFaults(registries: Registries, subject: string): readonly PlacedMessage[] {
  return placed("registries", Object.entries(registries), (fields, key) => {
    const one = { [key]: fields };
    withOwnMirrors(readHosts(one, subject), one, subject);
  });
}

type Registries = RegistryFields["registries"];

const Registries = z.record(z.string(), hostFields);

const adviseOnRegistries = adviseWithin("source", "registries");

/**
 * How to reach registries, read from a map such as the source's `registries`.
 * @param subject names the map in messages
 * @throws UserError if the value isn't such a map, or has fields that don't go together
 */
export function readRegistries(given: unknown, subject: string): ReadonlyMap<string, HostAccess> {
  refuseUnusable(given, placesBelow(subject));
  const registries = readAs(Registries, given, subject, { advise: adviseOnRegistries });
  return withOwnMirrors(readHosts(registries, subject), registries, subject);
}

function readHosts(registries: Registries, subject: string): Map<string, HostAccess> {
  const own = new Map<string, HostAccess>();
  for (const [key, fields] of Object.entries(registries)) {
    const host = parseReferenceHost(hostOfServer(key), `${subject}.${key}`);
    own.set(host, { ...own.get(host), ...hostAccess(fields, `${subject}.${host}`) });
  }
  return own;
}

function withOwnMirrors(
  own: ReadonlyMap<string, HostAccess>,
  registries: Registries,
  subject: string,
): ReadonlyMap<string, HostAccess> {
  return Object.entries(registries).reduce(
    (known, [key, { mirrors: names }]) =>
      withMirrors(
        known,
        parseReferenceHost(hostOfServer(key), subject),
        names,
        (index) => `${subject}.${key}.mirrors.${index}`,
      ),
    own,
  );
}

function hostAccess(fields: z.output<typeof hostFields>, subject: string): HostAccess {
  if ((fields.username === undefined) !== (fields.password === undefined)) {
    throw new UserError(`${subject}: expected username and password together`);
  }
  return present({
    username: fields.username,
    password: fields.password,
    insecure: fields.insecure || undefined,
    caCerts: fields.ca_certs,
    clientCert: fields.client_cert,
    clientKey: fields.client_key,
  });
}

function readDockerConfig(given: string | Record<string, unknown>): Record<string, unknown> {
  if (typeof given !== "string") return given;
  const config = parseDockerConfig(given, "source.docker_config");
  refuseUnusable(config, placesBelow("source.docker_config"));
  return config;
}
