import type { Exporter } from "../../image/exporter.ts";
import { formatRepository } from "../../image/reference.ts";
import { type AttributePairs, csvAttributes } from "./csv.ts";
import type { Solve } from "./plan.ts";

export interface SolveRun {
  readonly solve: Solve;
  /** Undefined if nothing is exported. */
  readonly exporter: Exporter | undefined;
  /** The file to which buildctl writes `containerimage.descriptor` and other metadata. */
  readonly metadataFile: string;
  /** Cache imports and exports, each as the attributes of one `--import-cache` or `--export-cache`. */
  readonly importCaches: readonly AttributePairs[];
  readonly exportCaches: readonly AttributePairs[];
  /** `--registry-auth-tlscontext` records: hosts whose token servers the client verifies with a CA of their own. */
  readonly authTls: readonly AttributePairs[];
}

/**
 * The arguments of `buildctl build` for one solve. Secrets are passed as files, so the arguments don't contain
 * their text. Pure.
 */
export function buildctlArguments(run: SolveRun): string[] {
  const { solve } = run;
  const flags: Flag[] = [
    ["--frontend", "dockerfile.v0"],
    ["--progress", "rawjson"],
    ["--metadata-file", run.metadataFile],
    ...pairFlags("--local", solve.locals),
    ...pairFlags("--oci-layout", solve.layouts),
    ...pairFlags("--opt", solve.options),
    ...recordFlags(
      "--secret",
      solve.secrets.map(({ id, file }) => [
        ["id", id],
        ["src", file],
      ]),
    ),
    ...solve.ssh.map(({ id, paths }) => ["--ssh", `${id}=${paths.join(",")}`] as const),
    ...(solve.policyFile === undefined ? [] : [["--source-policy-file", solve.policyFile] as const]),
    ...solve.allow.map((entitlement) => ["--allow", entitlement] as const),
    ...recordFlags("--import-cache", run.importCaches),
    ...recordFlags("--export-cache", run.exportCaches),
    ...recordFlags("--registry-auth-tlscontext", run.authTls),
    ...(run.exporter === undefined
      ? []
      : recordFlags("--output", outputs(run.exporter, solve.exporterAttributes))),
  ];
  return buildArguments(flags);
}

/** A flag of buildctl, and its value. */
export type Flag = readonly [flag: string, value: string];

/**
 * The arguments of `buildctl build` with these flags. A flag and its value are two arguments, because buildctl trims
 * white space off `--flag=value` (urfave/cli v3). Pure.
 */
export function buildArguments(flags: readonly Flag[]): string[] {
  return ["build", ...flags.flat()];
}

function outputs(exporter: Exporter, attributes: ReadonlyMap<string, string>): AttributePairs[] {
  if (exporter.kind === "layout") {
    return [[["type", "oci"], ["tar", "false"], ["dest", exporter.folder], ...attributes]];
  }
  return exporter.destinations.map(({ repository, insecure }) => [
    ["type", "image"],
    ["name", formatRepository(repository)],
    ["push", "true"],
    ["push-by-digest", "true"],
    ["name-canonical", "true"],
    ...(insecure ? [["registry.insecure", "true"] as const] : []),
    ...attributes,
  ]);
}

function pairFlags(flag: string, values: ReadonlyMap<string, string>): Flag[] {
  return Array.from(values, ([name, value]) => [flag, `${name}=${value}`]);
}

/** A flag for each record. Pure. */
export function recordFlags(flag: string, records: readonly AttributePairs[]): Flag[] {
  return records.map((attributes) => [flag, csvAttributes(attributes)]);
}
