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

/** The Docker client knows Docker Hub by this name (docker/cli, `registry.IndexServer`). */
const dockerHub = "https://index.docker.io/v1/";

/**
 * The Docker client configuration (`config.json`) that holds these credentials: what was given inline, and the
 * hosts' own user names and passwords over it.
 */
export function dockerConfig({ hosts, dockerConfig: given = {} }: RegistryAccess): Record<string, unknown> {
  const auths = typeof given["auths"] === "object" && given["auths"] !== null ? given["auths"] : {};
  const own = [...hosts].flatMap(([host, { username, password }]) => {
    if (username === undefined || password === undefined) return [];
    const auth = Buffer.from(`${username}:${password}`).toString("base64");
    return [[host === "docker.io" ? dockerHub : host, { auth }]];
  });
  return { ...given, auths: { ...auths, ...Object.fromEntries(own) } };
}
