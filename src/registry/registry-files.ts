import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { writeSmallFile } from "../host/atomic-write.ts";
import type { Environment } from "../host/step-context.ts";
import type { HostAccess, RegistryAccess } from "./access.ts";
import { systemCertificates } from "./system-certificates.ts";
import { writeCredentials } from "./write-credentials.ts";

/**
 * Credentials and CA certificates as files in a private folder, for programs that access registries themselves.
 * They are never passed as arguments.
 */
export interface RegistryFiles {
  /** The variables that name the files (`DOCKER_CONFIG`, `SSL_CERT_FILE` …), to add to a program's environment. */
  readonly env: Environment;
  /** By host: PEM files for that host only. */
  readonly hosts: ReadonlyMap<string, PemFiles>;
}

/** Paths. */
export interface PemFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Writes the files.
 * @param env the step's environment, which names the system's certificates
 */
export async function writeRegistryFiles(
  access: RegistryAccess,
  workspace: string,
  env: Environment,
): Promise<RegistryFiles> {
  const folder = join(workspace, "registries");
  mkdirSync(folder, { mode: 0o700 });
  const credentials = await writeCredentials(access, folder);
  const trust =
    access.caCerts === undefined ? {} : { SSL_CERT_FILE: await trustBundle(access.caCerts, folder, env) };
  const hosts = new Map<string, PemFiles>();
  for (const [index, [host, given]] of [...access.hosts].entries()) {
    hosts.set(host, await writePemFiles(given, join(folder, `host-${index}`)));
  }
  return { env: { ...trust, ...credentials }, hosts };
}

async function writePemFiles(access: HostAccess, prefix: string): Promise<PemFiles> {
  const texts = { ca: access.caCerts, cert: access.clientCert, key: access.clientKey };
  const written = Object.entries(texts).map(async ([kind, text]) => {
    if (text === undefined) return [];
    const file = `${prefix}-${kind}.pem`;
    await writePrivate(file, text);
    return [[kind, file]];
  });
  return Object.fromEntries((await Promise.all(written)).flat());
}

/** The system's certificates and the given ones in one file, for programs that read one (`SSL_CERT_FILE`). */
async function trustBundle(extra: string, folder: string, env: Environment): Promise<string> {
  const file = join(folder, "trusted.pem");
  await writePrivate(file, `${[...systemCertificates(env), extra].join("\n")}\n`);
  return file;
}

function writePrivate(file: string, text: string): Promise<void> {
  return writeSmallFile(file, text, { mode: 0o600, flag: "wx" });
}
