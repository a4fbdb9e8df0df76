import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { connect } from "node:tls";
import { startChild } from "../../host/child.ts";
import type { Environment, Host } from "../../host/host.ts";
import { createPrivateFolder } from "../../host/private-folder.ts";
import { dockerConfig, type HostAccess, type RegistryAccess } from "../../image/registry-access.ts";
import { registryError } from "./registry-error.ts";

/** regctl (regclient), which talks to registries for us, with its configuration in a private folder. */
export interface Regctl extends AsyncDisposable {
  /** Runs one command to its end and answers its stdout. @throws RegistryError in words for the pipeline's author */
  run(args: readonly string[], options: { signal: AbortSignal; input?: Uint8Array }): Promise<Buffer>;
  /** The stdout of a command as it comes. A command that fails makes the stream end in a RegistryError. */
  stream(args: readonly string[], signal: AbortSignal): Readable;
}

/**
 * Credentials and certificates go into files that only this process's user can read, never into arguments.
 * @param where names the store in errors
 */
export async function openRegctl(host: Host, access: RegistryAccess, where: string): Promise<Regctl> {
  await using prepared = new AsyncDisposableStack();
  const { path: folder } = prepared.use(await createPrivateFolder("regctl"));
  const config = join(folder, "regctl.json");
  await writePrivate(config, await regctlConfig(access));
  // The logins and helpers of an inline Docker configuration count for regctl too.
  await writePrivate(join(folder, "config.json"), dockerConfig(access));
  const env: Environment = { ...host.env, REGCTL_CONFIG: config, DOCKER_CONFIG: folder };
  const owned = prepared.move();
  return {
    async run(args, { signal, input }) {
      const options = {
        reject: false,
        encoding: "buffer",
        ...(input === undefined ? {} : { input }),
      } as const;
      const result = await startChild({ env, signal }, "regctl", args, options);
      signal.throwIfAborted();
      if (result.exitCode === 0) return Buffer.from(result.stdout);
      throw registryError(where, Buffer.from(result.stderr).toString("utf8"));
    },
    stream(args, signal) {
      const child = startChild({ env, signal }, "regctl", args, {
        reject: false,
        buffer: { stdout: false, stderr: true },
      });
      // A pipe that ends says nothing of the program's end: its bytes count only when that was good.
      return child.stdout.compose(async function* (source: AsyncIterable<Buffer>) {
        yield* source;
        const { exitCode, stderr } = await child;
        signal.throwIfAborted();
        if (exitCode !== 0) throw registryError(where, stderr);
      }) as Readable;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function writePrivate(file: string, content: unknown): Promise<void> {
  return writeFile(file, JSON.stringify(content), { mode: 0o600, flag: "wx" });
}

async function regctlConfig(access: RegistryAccess): Promise<Record<string, unknown>> {
  const hosts = await Promise.all(
    Array.from(
      access.hosts,
      async ([name, host]) => [name, await hostConfig(name, host, access.caCerts)] as const,
    ),
  );
  return { hosts: Object.fromEntries(hosts), incDockerCert: false, incDockerCred: true };
}

/** One host of regctl's configuration (regclient, config/host.go). */
async function hostConfig(
  name: string,
  access: HostAccess,
  caCerts: string | undefined,
): Promise<Record<string, unknown>> {
  const certificates = [access.caCerts, caCerts].filter((pem) => pem !== undefined).join("\n");
  const insecure = access.insecure === true;
  return {
    tls: insecure ? ((await speaksTls(name)) ? "insecure" : "disabled") : "enabled",
    ...(certificates === "" ? {} : { regcert: certificates }),
    ...(access.clientCert === undefined ? {} : { clientCert: access.clientCert }),
    ...(access.clientKey === undefined ? {} : { clientKey: access.clientKey }),
    ...(access.username === undefined ? {} : { user: access.username }),
    ...(access.password === undefined ? {} : { pass: access.password }),
  };
}

/** Milliseconds a registry has to end a TLS handshake. */
const handshakeDeadline = 5_000;

/** `insecure` means plain http, or https that isn't checked: which of them, a handshake tells. */
function speaksTls(name: string): Promise<boolean> {
  const { hostname, port } = new URL(`https://${name}`);
  const host = hostname.replace(/^\[|\]$/g, "");
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port: Number(port || 443),
      rejectUnauthorized: false,
      timeout: handshakeDeadline,
    });
    const answer = (tls: boolean) => () => {
      socket.destroy();
      resolve(tls);
    };
    socket.once("secureConnect", answer(true));
    socket.once("error", answer(false));
    socket.once("timeout", answer(false));
  });
}
