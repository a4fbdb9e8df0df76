import type { Exporter } from "../../image/exporter.ts";
import { csvAttributes } from "./csv.ts";
import type { Solve } from "./plan.ts";

export interface SolveRun {
  readonly solve: Solve;
  readonly exporter: Exporter;
  /** buildctl writes `containerimage.descriptor` and its like there. */
  readonly metadataFile: string;
  readonly progress: "rawjson" | "plain";
  /** Cache imports and exports, each as the attributes of one `--import-cache` or `--export-cache`. */
  readonly importCaches: readonly (readonly (readonly [string, string])[])[];
  readonly exportCaches: readonly (readonly (readonly [string, string])[])[];
  /** `--registry-auth-tlscontext` records: hosts whose token servers the client meets by their own CA. */
  readonly authTls: readonly (readonly (readonly [string, string])[])[];
}

/** The arguments of `buildctl build` for one solve. Pure; secrets are files, so none of their text is here. */
export function buildArguments(run: SolveRun): string[] {
  const { solve } = run;
  return [
    "build",
    "--frontend=dockerfile.v0",
    `--progress=${run.progress}`,
    `--metadata-file=${run.metadataFile}`,
    ...map(solve.locals, ([name, folder]) => `--local=${name}=${folder}`),
    ...map(solve.layouts, ([id, folder]) => `--oci-layout=${id}=${folder}`),
    ...map(solve.options, ([name, value]) => `--opt=${name}=${value}`),
    ...solve.secrets.map(
      ({ id, file }) =>
        `--secret=${csvAttributes([
          ["id", id],
          ["src", file],
        ])}`,
    ),
    ...solve.ssh.map(({ id, paths }) => `--ssh=${id}=${paths.join(",")}`),
    ...solve.allow.map((entitlement) => `--allow=${entitlement}`),
    ...run.importCaches.map((attributes) => `--import-cache=${csvAttributes(attributes)}`),
    ...run.exportCaches.map((attributes) => `--export-cache=${csvAttributes(attributes)}`),
    ...run.authTls.map((attributes) => `--registry-auth-tlscontext=${csvAttributes(attributes)}`),
    `--output=${csvAttributes(output(run.exporter, solve.exporterAttributes))}`,
  ];
}

function output(exporter: Exporter, attributes: ReadonlyMap<string, string>): (readonly [string, string])[] {
  if (exporter.kind === "layout") {
    return [["type", "oci"], ["tar", "false"], ["dest", exporter.folder], ...attributes];
  }
  return [
    ["type", "image"],
    ["name", exporter.repository],
    ["push", "true"],
    ["push-by-digest", "true"],
    ["name-canonical", "true"],
    ...(exporter.insecure ? [["registry.insecure", "true"] as const] : []),
    ...attributes,
  ];
}

function map<V>(pairs: ReadonlyMap<string, V>, each: (pair: [string, V]) => string): string[] {
  return Array.from(pairs, each);
}
