import { UserError } from "../host/errors.ts";
import { orNone } from "../host/or-none.ts";
import type { RegistryAccess } from "./access.ts";

/**
 * Parses a Docker client's `config.json`.
 * @throws UserError naming `subject` if the text isn't a JSON object
 */
export function parseDockerConfig(text: string, subject: string): Record<string, unknown> {
  // The error of JSON.parse isn't passed on: it quotes the text, which may be a password.
  const value: unknown = orNone(() => JSON.parse(text));
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new UserError(`${subject}: expected a map, or its JSON text, as in ~/.docker/config.json`);
}

/** Docker Hub's name in the Docker client's configuration (docker/cli, `registry.IndexServer`). */
const hubServer = "https://index.docker.io/v1/";
/** Other names for Docker Hub that people write there. */
const hubNames = /^(?:https?:\/\/)?(?:(?:index|registry-1)\.)?docker\.io(?:\/v[12])?\/?$/;

/** The name by which the Docker client's configuration and its helpers know a registry. */
export function serverNameOf(host: string): string {
  return hubNames.test(host) ? hubServer : host;
}

/** The host that a registry's name stands for: `docker.io` for all names of Docker Hub. */
export function hostOfServer(name: string): string {
  return hubNames.test(name) ? "docker.io" : name;
}

/**
 * Entries of a Docker client's configuration, with those of Docker Hub merged under {@link hubServer}. If there are
 * several, the one that has this name already wins.
 */
function byServerName(entries: unknown): Record<string, unknown> {
  const all = Object.entries(asObject(entries));
  const given = all.filter(
    ([, entry]) => typeof entry === "string" || Object.keys(asObject(entry)).length > 0,
  );
  const [, hub] =
    given.find(([name]) => name === hubServer) ?? given.find(([name]) => hubNames.test(name)) ?? [];
  const others = all.filter(([name]) => !hubNames.test(name));
  return Object.fromEntries([...others, ...(hub === undefined ? [] : [[hubServer, hub] as const])]);
}

/**
 * The Docker client configuration (`config.json`) with these credentials: the one given inline, overridden by the
 * hosts' own user names and passwords.
 */
export function dockerConfig({
  hosts,
  aws,
  dockerConfig: given = {},
}: RegistryAccess): Record<string, unknown> {
  const own = [...hosts].flatMap(([host, { username, password }]) => {
    if (username === undefined || password === undefined) return [];
    return [{ server: serverNameOf(host), auth: Buffer.from(`${username}:${password}`).toString("base64") }];
  });
  const auths = own.map(({ server, auth }) => [server, { auth }] as const);
  // A helper would take precedence over a password. A helper with an empty name counts as none (docker/cli,
  // getConfiguredCredentialStore).
  const isHelped = "credHelpers" in given || "credsStore" in given;
  const helpers = {
    ...byServerName(given["credHelpers"]),
    ...(aws === undefined ? {} : { [aws.host]: "ecr-login" }),
    ...(isHelped ? Object.fromEntries(own.map(({ server }) => [server, ""])) : {}),
  };
  return {
    ...given,
    auths: { ...byServerName(given["auths"]), ...Object.fromEntries(auths) },
    ...(Object.keys(helpers).length > 0 ? { credHelpers: helpers } : {}),
  };
}

/** A JSON value as an object whose fields can be read. Empty if the value isn't an object. */
export function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
