import { readFile } from "node:fs/promises";
import type { Inputs } from "../builder/inputs/inputs.ts";
import type { LayerCache } from "../builder/plan/layer-cache.ts";
import type { TraceTarget } from "../host/trace.ts";
import type { RegistryAccess } from "../registry/access.ts";

/** Characters. Shorter lines of a secret are too common to be masked by themselves. */
const shortestLine = 8;

/** What the secrets of a build are in. */
export interface SecretHolders {
  readonly access: RegistryAccess;
  readonly inputs: Pick<Inputs, "secrets" | "ssh">;
  readonly cache: Pick<LayerCache, "ownDaemonEnv" | "buildctlEnv">;
  readonly tracing: TraceTarget | undefined;
}

/**
 * The secrets of a build, to mask them in what it records: the files that its RUNs can mount, keys, and passwords of
 * registries and caches. Of a secret of several lines, each line counts too. Longest first, as one may be a part of
 * another.
 */
export async function knownSecrets({
  access,
  inputs,
  cache,
  tracing,
}: SecretHolders): Promise<readonly string[]> {
  const files = [...inputs.secrets.map(({ file }) => file), ...inputs.ssh.flatMap(({ paths }) => paths)];
  const contents = await Promise.all(files.map((file) => readFile(file, "utf8")));
  const texts = [
    ...contents,
    ...[...access.hosts.values()].flatMap(({ username, password, clientKey }) => [
      password,
      clientKey,
      password === undefined ? undefined : Buffer.from(`${username}:${password}`).toString("base64"),
    ]),
    access.aws?.secretAccessKey,
    access.aws?.sessionToken,
    ...textsIn(access.dockerConfig?.["auths"]),
    ...Object.values(cache.ownDaemonEnv),
    ...Object.values(cache.buildctlEnv),
    ...Object.values(tracing?.headers ?? {}),
  ].filter((text) => text !== undefined);
  const secrets = texts.flatMap((text) => {
    const lines = text.split("\n").map((line) => line.trim());
    // Names of steps have their white space collapsed.
    return [
      text.trim(),
      text.trim().replaceAll(/\s+/g, " "),
      ...lines.filter((line) => line.length >= shortestLine),
    ];
  });
  return [...new Set(secrets)].filter((text) => text !== "").toSorted((a, b) => b.length - a.length);
}

/** Every text in a Docker configuration's logins, and what `auth` holds in base64. */
function textsIn(value: unknown): string[] {
  if (typeof value === "string") {
    const login = Buffer.from(value, "base64").toString("utf8");
    const password = /^[^:]*:(.+)$/s.exec(login)?.[1];
    return password === undefined ? [value] : [value, password];
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}
