/**
 * How to reach one registry host: used alike for FROM, push, cache, mirrors and get. The key in
 * {@link RegistryAccess} is the host as image references name it (`docker.io`, `registry.example:5000`).
 */
export interface HostAccess {
  readonly username?: string;
  readonly password?: string;
  /** Plain http, or https whose certificate isn't checked. */
  readonly insecure?: boolean;
  /** PEM text, one or more certificates, trusted in addition to the system's. */
  readonly caCerts?: string;
  readonly clientCert?: string;
  readonly clientKey?: string;
  /** Hosts asked first, in this order: `host[:port][/path]`. */
  readonly mirrors?: readonly string[];
}

export interface RegistryAccess {
  readonly hosts: ReadonlyMap<string, HostAccess>;
  /** PEM text trusted for every host. */
  readonly caCerts?: string;
  /** A Docker client configuration (`auths`, `credHelpers`, `credsStore`) given inline, as its JSON object. */
  readonly dockerConfig?: Readonly<Record<string, unknown>>;
}

/** The name by which the Docker client's configuration and its helpers know a registry. */
export function serverNameOf(host: string): string {
  // docker/cli, `registry.IndexServer`.
  return host === "docker.io" ? "https://index.docker.io/v1/" : host;
}

/**
 * The Docker client configuration (`config.json`) that holds these credentials: what was given inline, and the
 * hosts' own user names and passwords over it.
 */
export function dockerConfig({ hosts, dockerConfig: given = {} }: RegistryAccess): Record<string, unknown> {
  const own = [...hosts].flatMap(([host, { username, password }]) => {
    if (username === undefined || password === undefined) return [];
    return [{ server: serverNameOf(host), auth: Buffer.from(`${username}:${password}`).toString("base64") }];
  });
  const auths = own.map(({ server, auth }) => [server, { auth }] as const);
  // A helper would go before a password; one without a name is none (docker/cli, getConfiguredCredentialStore).
  const noHelpers = own.map(({ server }) => [server, ""] as const);
  const withHelpers = "credHelpers" in given || "credsStore" in given;
  return {
    ...given,
    auths: { ...asObject(given["auths"]), ...Object.fromEntries(auths) },
    ...(withHelpers
      ? { credHelpers: { ...asObject(given["credHelpers"]), ...Object.fromEntries(noHelpers) } }
      : {}),
  };
}

function asObject(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}
