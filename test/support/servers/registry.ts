import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { stringify } from "yaml";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { toolEnvironment } from "../runs/test-step.ts";
import type { ServerCertificate } from "./certificates.ts";
import { startServer } from "./http-server.ts";

export interface RegistryOptions {
  /** Serve https with this certificate; plain http otherwise. */
  readonly tls?: ServerCertificate;
  /** PEM file of the authority whose client certificates it demands; only with `tls`. */
  readonly clientCa?: string;
  /** Users and passwords for basic authentication. */
  readonly htpasswd?: Readonly<Record<string, string>>;
  /** Bearer tokens: where clients get them, for which service, from whom, and whose signatures hold (PEM file). */
  readonly token?: {
    readonly realm: string;
    readonly service: string;
    readonly issuer: string;
    readonly rootCertificates: string;
  };
  /** Makes the registry a pull-through cache of another: `http://127.0.0.1:port`. */
  readonly proxyOf?: string;
  /** Take manifests whose layers lie elsewhere, at URLs. */
  readonly takesUrls?: boolean;
  /** Storage that outlives the registry; by default its own, removed with it. */
  readonly folder?: string;
}

export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:port`, as image references name it. */
  readonly host: string;
  /** `http://127.0.0.1:port` or https. */
  readonly url: string;
  /** Where it keeps its files; blobs are `docker/registry/v2/blobs/sha256/ab/ab…/data` in it. */
  readonly folder: string;
  /** Its log, with one line for each request answered. */
  readonly log: () => string;
  readonly pid: number;
  readonly ended: Promise<void>;
}

/** Starts Debian's docker-registry (CNCF Distribution 2.8) on a free loopback port; deletes are allowed. */
export async function startRegistry(options: RegistryOptions = {}): Promise<Registry> {
  const { tls, clientCa, htpasswd, token, proxyOf } = options;
  await using resources = new AsyncDisposableStack();
  const own = resources.use(await createPrivateFolder("test-registry"));
  const folder = options.folder ?? join(own.path, "storage");
  await mkdir(folder, { recursive: true });
  const passwordFile = join(own.path, "htpasswd");
  if (htpasswd) await writeFile(passwordFile, await hashPasswords(htpasswd));
  const config = {
    version: "0.1",
    log: { level: "info", accesslog: { disabled: false } },
    storage: {
      filesystem: { rootdirectory: folder },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: {
      addr: "127.0.0.1:0",
      secret: crypto.randomUUID(),
      ...(tls
        ? { tls: { certificate: tls.cert, key: tls.key, ...(clientCa ? { clientcas: [clientCa] } : {}) } }
        : {}),
    },
    ...(htpasswd ? { auth: { htpasswd: { realm: "test registry", path: passwordFile } } } : {}),
    ...(token
      ? {
          auth: {
            token: {
              realm: token.realm,
              service: token.service,
              issuer: token.issuer,
              rootcertbundle: token.rootCertificates,
            },
          },
        }
      : {}),
    ...(options.takesUrls === true ? { validation: { manifests: { urls: { allow: ["."] } } } } : {}),
    ...(proxyOf === undefined ? {} : { proxy: { remoteurl: proxyOf } }),
  };
  const configFile = join(own.path, "config.yml");
  await writeFile(configFile, stringify(config));
  const server = resources.use(
    await startServer({
      file: "docker-registry",
      args: ["serve", configFile],
      ready: /listening on (127\.0\.0\.1:\d+)/,
    }),
  );
  const host = server.announcement[1] ?? "";
  const owned = resources.move();
  return {
    host,
    url: `${tls ? "https" : "http"}://${host}`,
    folder,
    log: server.log,
    pid: server.pid,
    ended: server.ended,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * Starts go-containerregistry's registry, an implementation independent of docker-registry's code: plain http, in
 * memory, with referrers, and without authentication.
 */
export async function startMemoryRegistry(): Promise<Omit<Registry, "folder">> {
  const server = await startServer({
    file: "registry",
    args: ["-port", "0"],
    ready: /serving on port (\d+)/,
  });
  const host = `127.0.0.1:${server.announcement[1]}`;
  return { ...server, host, url: `http://${host}` };
}

/** An htpasswd file with bcrypt hashes, the only ones docker-registry takes; perl reaches libcrypt's crypt(3). */
async function hashPasswords(users: Readonly<Record<string, string>>): Promise<string> {
  const lines = Object.entries(users).map(async ([user, password]) => {
    const salt = "$2y$05$abcdefghijklmnopqrstuu";
    const program = "local $/; my $password = <STDIN>; print crypt($password, $ARGV[0])";
    const { stdout } = await execa("perl", ["-e", program, salt], {
      input: password,
      env: toolEnvironment(),
    });
    if (!stdout.startsWith("$2y$")) throw new Error("this system's crypt(3) knows no bcrypt");
    return `${user}:${stdout}\n`;
  });
  return (await Promise.all(lines)).join("");
}
