import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeSmallFile } from "../../host/atomic-write.ts";
import type { Environment } from "../../host/step-context.ts";
import type { HostAccess, RegistryAccess } from "../../registry/access.ts";
import { writeCredentials } from "../../registry/docker-config.ts";
import { systemCertificates } from "../../registry/system-certificates.ts";
import type { RegistryBlock } from "./daemon-config.ts";

/** How daemon and client reach the registries, as files in a private folder: nothing of it is ever an argument. */
export interface RegistryFiles {
  /** For buildctl, which hands credentials to the daemon as it asks for them (`DOCKER_CONFIG`). */
  readonly env: Environment;
  /** For the configuration of a daemon of our own. */
  readonly blocks: ReadonlyMap<string, RegistryBlock>;
  /** Attributes of buildctl's `--registry-auth-tlscontext`: it fetches tokens itself, so it needs the CAs too. */
  readonly authTls: readonly (readonly (readonly [string, string])[])[];
}

/** Writes the files. `env` is the step's environment; what is answered extends it. */
export async function writeRegistryFiles(
  access: RegistryAccess,
  workspace: string,
  env: Environment,
): Promise<RegistryFiles> {
  const folder = join(workspace, "registries");
  await mkdir(folder, { mode: 0o700 });
  const credentials = await writeCredentials(access, folder);
  const common =
    access.caCerts === undefined ? {} : { SSL_CERT_FILE: await trustBundle(access.caCerts, folder, env) };
  const blocks = new Map<string, RegistryBlock>();
  const authTls: (readonly (readonly [string, string])[])[] = [];
  for (const [index, [host, given]] of [...access.hosts].entries()) {
    const files = await pemFiles(given, join(folder, `host-${index}`));
    blocks.set(host, registryBlock(given, files));
    const tls = authTlsContext(host, given, files);
    if (tls.length > 1) authTls.push(tls);
  }
  return { env: { ...env, ...common, ...credentials }, blocks, authTls };
}

interface PemFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

async function pemFiles(access: HostAccess, prefix: string): Promise<PemFiles> {
  const texts = { ca: access.caCerts, cert: access.clientCert, key: access.clientKey };
  const written = Object.entries(texts).map(async ([kind, text]) => {
    if (text === undefined) return [];
    const file = `${prefix}-${kind}.pem`;
    await writePrivate(file, text);
    return [[kind, file]];
  });
  return Object.fromEntries((await Promise.all(written)).flat());
}

function registryBlock(access: HostAccess, { ca, cert, key }: PemFiles): RegistryBlock {
  return {
    // Both together make BuildKit try https without checking, then plain http. Left to itself, it would speak
    // plain http to any registry on loopback, whatever CA is given.
    ...(access.insecure === true ? { http: true, insecure: true } : { http: false }),
    ...(ca === undefined ? {} : { ca: [ca] }),
    ...(cert === undefined || key === undefined ? {} : { keypair: [{ cert, key }] }),
    ...(access.mirrors === undefined ? {} : { mirrors: access.mirrors }),
  };
}

function authTlsContext(host: string, access: HostAccess, files: PemFiles): (readonly [string, string])[] {
  return [
    ["host", host],
    ...(access.insecure === true ? [["insecure", "true"] as const] : []),
    ...Object.entries(files),
  ];
}

/** The system's certificates and the given ones, in one file, for programs that take one (`SSL_CERT_FILE`). */
async function trustBundle(extra: string, folder: string, env: Environment): Promise<string> {
  const file = join(folder, "trusted.pem");
  await writePrivate(file, `${[...(await systemCertificates(env)), extra].join("\n")}\n`);
  return file;
}

function writePrivate(file: string, text: string): Promise<void> {
  return writeSmallFile(file, text, { mode: 0o600, flag: "wx" });
}
