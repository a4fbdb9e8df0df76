import type { HostAccess, RegistryAccess } from "../../registry/access.ts";
import type { PemFiles, RegistryFiles } from "../../registry/registry-files.ts";
import type { AttributePairs } from "../plan/csv.ts";
import type { RegistryBlock } from "./daemon-config.ts";

type HostFiles = Pick<RegistryFiles, "hosts">;

/** The `[registry]` blocks of a daemon's configuration, by host (BuildKit, docs/buildkitd.toml.md). Pure. */
export function registryBlocks({ hosts }: RegistryAccess, files: HostFiles): Map<string, RegistryBlock> {
  return new Map(
    Array.from(hosts, ([host, access]) => [host, registryBlock(access, files.hosts.get(host) ?? {})]),
  );
}

function registryBlock(access: HostAccess, { ca, cert, key }: PemFiles): RegistryBlock {
  return {
    // With both set, BuildKit tries https without verifying the certificate, then plain http. With neither set, it
    // would use plain http for any registry on loopback, even if a CA is given.
    ...(access.insecure === true ? { http: true, insecure: true } : { http: false }),
    ...(ca === undefined ? {} : { ca: [ca] }),
    ...(cert === undefined || key === undefined ? {} : { keypair: [{ cert, key }] }),
    ...(access.mirrors === undefined ? {} : { mirrors: access.mirrors }),
  };
}

/**
 * The TLS settings for buildctl, which fetches tokens itself (`--registry-auth-tlscontext`). Hosts without settings
 * of their own are left out. Pure.
 */
export function authTlsContexts({ hosts }: RegistryAccess, files: HostFiles): AttributePairs[] {
  const contexts = Array.from(hosts, ([host, access]): AttributePairs => {
    const insecure = access.insecure === true ? [["insecure", "true"] as const] : [];
    return [["host", host], ...insecure, ...Object.entries(files.hosts.get(host) ?? {})];
  });
  return contexts.filter((context) => context.length > 1);
}
