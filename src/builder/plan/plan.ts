import type { Platform } from "../../image/descriptor.ts";
import type { Inputs } from "../inputs/inputs.ts";
import type { BuildOptions } from "./build-options.ts";
import { frontendOptions, platformList } from "./frontend-options.ts";
import { contextFolderName, localImages } from "./local-images.ts";

/** One solve, as data. Names of options are those of BuildKit's Dockerfile frontend. */
export interface Solve {
  /** The stage to build; empty for the last one of the Dockerfile. */
  readonly target: string;
  /** Frontend options (`--opt`), by name. */
  readonly options: ReadonlyMap<string, string>;
  /** Folders the daemon may read (`--local`), by name. */
  readonly locals: ReadonlyMap<string, string>;
  /** Image layouts the daemon may read (`--oci-layout`), by id. */
  readonly layouts: ReadonlyMap<string, string>;
  /** The file with the source policy (`--source-policy-file`). */
  readonly policyFile: string | undefined;
  readonly secrets: Inputs["secrets"];
  readonly ssh: Inputs["ssh"];
  readonly allow: readonly string[];
  /** Attributes of the exporter besides its type and destination. */
  readonly exporterAttributes: ReadonlyMap<string, string>;
  /** The requested platforms; empty for the daemon's own. */
  readonly platforms: readonly Platform[];
}

/**
 * Turns options and inputs into solves: one for each target, the main one first. The solves run at the same time,
 * and a daemon runs a step once, even if several of them share it. Pure.
 */
export function planBuild(options: BuildOptions, inputs: Inputs): readonly [Solve, ...Solve[]] {
  const images = localImages(inputs);
  const shared = {
    locals: locals(inputs),
    layouts: new Map(images.map(({ id, layout }) => [id, layout])),
    policyFile: inputs.policyFile,
    secrets: inputs.secrets,
    ssh: inputs.ssh,
    allow: options.allow,
    exporterAttributes: exporterAttributes(options),
    platforms: options.platforms,
  };
  const common = frontendOptions(options, inputs, images);
  const solve = (target: string): Solve => ({
    ...shared,
    target,
    options: new Map([...common, ...(target === "" ? [] : [["target", target] as const])]),
  });
  return [solve(inputs.target ?? ""), ...options.additionalTargets.map(solve)];
}

/** The same solve for some of its platforms. Pure. */
export function forPlatforms(solve: Solve, platforms: readonly Platform[]): Solve {
  const options = new Map([...solve.options, ["platform", platformList(platforms)] as const]);
  return { ...solve, platforms, options };
}

function locals(inputs: Inputs): ReadonlyMap<string, string> {
  return new Map([
    ...(inputs.context.kind === "folder" ? [["context", inputs.context.path] as const] : []),
    ...(inputs.dockerfile === undefined ? [] : [["dockerfile", inputs.dockerfile.folder] as const]),
    ...inputs.contexts.flatMap((context) =>
      context.kind === "folder" ? [[contextFolderName(context.name), context.path] as const] : [],
    ),
  ]);
}

function exporterAttributes(options: BuildOptions): ReadonlyMap<string, string> {
  const { compression } = options;
  return new Map([
    ["oci-mediatypes", "true"],
    ...(compression === undefined ? [] : [["compression", compression.type] as const]),
    ...(compression?.level === undefined ? [] : [["compression-level", String(compression.level)] as const]),
    ...(compression?.force === true ? [["force-compression", "true"] as const] : []),
    ...(options.sourceDateEpoch === undefined ? [] : [["rewrite-timestamp", "true"] as const]),
    ...Object.entries(options.annotations).map(([name, value]) => [annotation(name), value] as const),
  ]);
}

/**
 * The exporter's attribute for an annotation. As in buildx, the prefix of `index:name` or
 * `manifest-descriptor[linux/arm64]:name` says where the annotation goes; without one it goes to the manifest.
 */
function annotation(name: string): string {
  const [, place, key] = /^((?:index|manifest)(?:-descriptor)?(?:\[[^\]]+\])?):(.+)$/.exec(name) ?? [];
  return place === undefined ? `annotation.${name}` : `annotation-${place}.${key}`;
}
