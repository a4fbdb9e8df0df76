import type { TomlTable } from "smol-toml";
import { suggestName } from "../../host/suggest.ts";

/**
 * The keys that a table may have: `true` for a value of any kind, else the keys of the tables inside. `*` is any
 * key.
 */
interface KnownTable {
  readonly [key: string]: true | KnownTable;
}

function values(...names: readonly string[]): KnownTable {
  return Object.fromEntries(names.map((name) => [name, true]));
}

const anything: KnownTable = { "*": true };

const gc: KnownTable = {
  ...values("gc", "gckeepstorage", "reservedSpace", "maxUsedSpace", "minFreeSpace"),
  gcpolicy: values(
    "all",
    "filters",
    "keepDuration",
    "keepBytes",
    "reservedSpace",
    "maxUsedSpace",
    "minFreeSpace",
  ),
};
const worker: KnownTable = {
  ...gc,
  ...values("networkMode", "cniConfigPath", "cniBinaryPath", "cniPoolSize", "bridgeName", "bridgeSubnet"),
  ...values("enabled", "platforms", "snapshotter", "rootless", "defaultCgroupParent"),
  ...values("apparmor-profile", "selinux", "max-parallelism"),
  labels: anything,
};

/** BuildKit 0.34, cmd/buildkitd/config/config.go. BuildKit silently ignores other keys. */
const known: KnownTable = {
  ...values("debug", "trace", "root", "insecure-entitlements", "proxyNetwork", "provenanceEnvDir"),
  log: values("format", "level"),
  grpc: {
    ...values("address", "debugAddress", "uid", "gid", "securityDescriptor"),
    tls: values("cert", "key", "ca"),
  },
  otel: values("socketPath"),
  cdi: values("disabled", "specDirs", "autoAllowed"),
  worker: {
    oci: {
      ...worker,
      ...values("noProcessSandbox", "userRemapUnsupported", "binary", "proxySnapshotterPath"),
      stargzSnapshotter: anything,
    },
    containerd: {
      ...worker,
      ...values("address", "namespace", "hypervIsolation"),
      runtime: { ...values("name", "path"), options: anything },
    },
  },
  registry: {
    "*": {
      ...values("mirrors", "http", "insecure", "ca", "tlsconfigdir"),
      keypair: values("key", "cert"),
    },
  },
  dns: values("nameservers", "options", "searchDomains"),
  history: values("maxAge", "maxEntries"),
  frontend: {
    "dockerfile.v0": values("enabled"),
    "gateway.v0": values("enabled", "allowedRepositories"),
  },
  system: values("platformsCacheMaxAge", "maxRegistryConcurrency", "sessionAuthTimeout"),
  cache: { gha: anything },
  compaction: anything,
};

/**
 * The keys of a configuration that BuildKit doesn't know and so ignores, each with a suggestion if a known key is
 * similar. Upper and lower case are the same, as in BuildKit. Pure.
 */
export function unknownConfigKeys(table: TomlTable): string[] {
  return unknownIn(table, known, []);
}

function unknownIn(table: object, allowed: KnownTable, path: readonly string[]): string[] {
  return Object.entries(table).flatMap(([key, value]: [string, unknown]) => {
    const at = [...path, /^[\w-]+$/.test(key) ? key : JSON.stringify(key)];
    const name = Object.keys(allowed).find((each) => each.toLowerCase() === key.toLowerCase()) ?? "*";
    const inside = allowed[name];
    if (inside === undefined) {
      const near = suggestName(key, Object.keys(allowed));
      return [`${at.join(".")}${near === undefined ? "" : ` (did you mean ${near}?)`}`];
    }
    if (inside === true) return [];
    const tables: unknown[] = Array.isArray(value) ? value : [value];
    return tables.flatMap((each) =>
      typeof each === "object" && each !== null ? unknownIn(each, inside, at) : [],
    );
  });
}
