import { parse, stringify, type TomlTable, type TomlTableWithoutBigInt } from "smol-toml";
import { UserError } from "../../host/errors.ts";
import { unknownConfigKeys } from "./known-config.ts";

/** The content of our daemon's configuration. The format is buildkitd.toml (BuildKit, docs/buildkitd.toml.md). */
export interface DaemonConfig {
  readonly root: string;
  readonly socket: string;
  readonly tracesSocket: string;
  readonly entitlements: readonly string[];
  readonly registries: ReadonlyMap<string, RegistryBlock>;
  /** The program that BuildKit runs instead of runc, if any. */
  readonly runcShim?: string;
  /** The author's TOML texts, each with the name of its param. */
  readonly extra: readonly { readonly subject: string; readonly text: string }[];
}

/** One `[registry."host"]` block. Paths are those of PEM files. */
export interface RegistryBlock {
  readonly http?: boolean;
  readonly insecure?: boolean;
  readonly ca?: readonly string[];
  readonly keypair?: readonly { readonly key: string; readonly cert: string }[];
  readonly mirrors?: readonly string[];
}

/**
 * The daemon's configuration as TOML: the step's own settings merged with the author's. Tables are merged, and
 * lists that both have are joined. A single value that both set differently is refused, with its name.
 * @throws UserError for text that isn't TOML, and for conflicts
 */
export function daemonConfig(config: DaemonConfig): string {
  const generated: TomlTable = {
    root: config.root,
    "insecure-entitlements": [...config.entitlements],
    grpc: { address: [`unix://${config.socket}`] },
    otel: { socketPath: config.tracesSocket },
    cdi: { disabled: true },
    worker: {
      oci: {
        enabled: true,
        ...(config.runcShim === undefined ? {} : { binary: config.runcShim }),
      },
      containerd: { enabled: false },
    },
    registry: Object.fromEntries(
      Array.from(config.registries, ([host, block]) => [host, block as TomlTable]),
    ),
  };
  const merged = config.extra.reduce(
    (all, { subject, text }) => merge(all, parseToml(subject, text), subject, []),
    generated,
  );
  return stringify(withoutCollection(merged));
}

/**
 * Turns off the garbage collection, unless the author configures it. A daemon of one build has no garbage. And while
 * BuildKit measures what it has (cache/manager.go, DiskUsage), a step that mounts a cache gets an empty one, as the
 * right one seems to be in use.
 */
function withoutCollection(config: TomlTable): TomlTable {
  const { worker } = config;
  if (!isTable(worker) || !isTable(worker["oci"])) return config;
  const { oci } = worker;
  if (Object.keys(oci).some((key) => key.toLowerCase().startsWith("gc"))) return config;
  return { ...config, worker: { ...worker, oci: { ...oci, gc: false } } };
}

/** A message for each of the author's TOML texts that has keys which BuildKit ignores. Pure. */
export function ignoredConfig({ extra }: Pick<DaemonConfig, "extra">): string[] {
  return extra.flatMap(({ subject, text }) => {
    const unknown = unknownConfigKeys(parseToml(subject, text));
    return unknown.length === 0
      ? []
      : [`${subject}: BuildKit doesn't know ${unknown.join(", ")}, and ignores it`];
  });
}

function parseToml(subject: string, text: string): TomlTable {
  try {
    return parse(text);
  } catch (thrown) {
    // The parser quotes the text around the fault, which may contain a password. So only the line number is
    // reported.
    const place = thrown instanceof Error && "line" in thrown ? ` (line ${String(thrown.line)})` : "";
    throw new UserError(`${subject} is not TOML${place}; see BuildKit's buildkitd.toml for what it may hold`);
  }
}

function merge(ours: TomlTable, theirs: TomlTable, subject: string, path: readonly string[]): TomlTable {
  const merged: TomlTable = { ...ours };
  for (const [key, value] of Object.entries(theirs)) {
    const existing = Object.hasOwn(merged, key) ? merged[key] : undefined;
    const at = [...path, key];
    if (existing === undefined) merged[key] = value;
    else if (isTable(existing) && isTable(value)) merged[key] = merge(existing, value, subject, at);
    else if (Array.isArray(existing) && Array.isArray(value))
      merged[key] = [...new Set([...existing, ...value])];
    else if (existing !== value) {
      throw new UserError(
        `${subject} sets ${at.join(".")}, which the step itself sets (because it needs it, or because of another param): remove it from one of the two`,
      );
    }
  }
  return merged;
}

function isTable(value: unknown): value is TomlTableWithoutBigInt {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
