/**
 * How to reach one registry host, for FROM, push, cache, mirrors and get alike. The key in {@link RegistryAccess}
 * is the host as image references name it (`docker.io`, `registry.example:5000`).
 */
export interface HostAccess {
  readonly username?: string;
  readonly password?: string;
  /** Whether to allow plain http, and https with a certificate that isn't checked. */
  readonly insecure?: boolean;
  /** PEM text, one or more certificates, trusted in addition to the system's. */
  readonly caCerts?: string;
  readonly clientCert?: string;
  readonly clientKey?: string;
  /** Hosts to ask first, in this order: `host[:port][/path]`. */
  readonly mirrors?: readonly string[];
}

export interface RegistryAccess {
  readonly hosts: ReadonlyMap<string, HostAccess>;
  /** PEM text trusted for every host. */
  readonly caCerts?: string;
  /** A Docker client configuration (`auths`, `credHelpers`, `credsStore`) given inline, as its JSON object. */
  readonly dockerConfig?: Readonly<Record<string, unknown>>;
  /** Amazon ECR login for one of the hosts. */
  readonly aws?: AwsAccess;
}

/** An AWS identity. Without a key, it is the identity of the worker's machine or container. */
export interface AwsAccess {
  readonly host: string;
  readonly region: string;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
  /** Roles to assume, one after the other. */
  readonly roleArns: readonly string[];
}
