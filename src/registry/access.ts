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
  /** Amazon ECR, for one of the hosts. */
  readonly aws?: AwsAccess;
}

/** An identity of Amazon's cloud; without a key it is the one that the worker's machine or container has. */
export interface AwsAccess {
  readonly host: string;
  readonly region: string;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
  /** To be assumed one after the other. */
  readonly roleArns: readonly string[];
}
