import type { Platform } from "../../image/descriptor.ts";
import { formatExactPlatform } from "../../image/platform.ts";
import type { Inputs } from "../inputs/inputs.ts";
import { buildChecks, checkArg } from "./build-checks.ts";
import { replacedFrontend } from "./frontend.ts";
import type { BuildOptions } from "./options.ts";

/** One solve that BuildKit is asked for, as data: names of options are those of BuildKit's Dockerfile frontend. */
export interface Solve {
  /** The stage that is built; empty for the Dockerfile's last. */
  readonly target: string;
  /** Frontend options (`--opt`), by name. */
  readonly options: ReadonlyMap<string, string>;
  /** Folders the daemon may read (`--local`), by name. */
  readonly locals: ReadonlyMap<string, string>;
  /** Image layouts the daemon may read (`--oci-layout`), by id. */
  readonly layouts: ReadonlyMap<string, string>;
  readonly secrets: Inputs["secrets"];
  readonly ssh: Inputs["ssh"];
  readonly allow: readonly string[];
  /** Attributes of the exporter besides its type and destination. */
  readonly exporterAttributes: ReadonlyMap<string, string>;
  /** Platforms, where they were asked for. */
  readonly platforms: readonly Platform[];
}

/**
 * Turns options and inputs into solves: one for each target, the main one first. They are solved at the same time and
 * share the daemon's work. Pure.
 */
export function planBuild(options: BuildOptions, inputs: Inputs): readonly [Solve, ...Solve[]] {
  const images = localImages(inputs);
  const shared = {
    locals: locals(inputs),
    layouts: new Map(images.map(({ id, layout }) => [id, layout])),
    secrets: inputs.secrets,
    ssh: inputs.ssh,
    allow: options.allow,
    exporterAttributes: exporterAttributes(options),
    platforms: options.platforms,
  };
  const common = [...sources(inputs, images), ...frontendOptions(options), ...checks(options, inputs)];
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

function platformList(platforms: readonly Platform[]): string {
  return platforms.map(formatExactPlatform).join(",");
}

type Pairs = readonly (readonly [string, string])[];

function frontendOptions(options: BuildOptions): Pairs {
  const pairs: (readonly [string, string] | false | undefined)[] = [
    options.platforms.length > 0 && ["platform", platformList(options.platforms)],
    Object.keys(options.addHosts).length > 0 && ["add-hosts", hosts(options.addHosts)],
    // An empty value means every stage.
    options.noCache === true && ["no-cache", ""],
    Array.isArray(options.noCache) && options.noCache.length > 0 && ["no-cache", options.noCache.join(",")],
    options.pull && ["image-resolve-mode", "pull"],
    options.network !== "default" && ["force-network-mode", options.network],
    options.shmSize !== undefined && ["shm-size", String(options.shmSize)],
    Object.keys(options.ulimits).length > 0 && ["ulimit", joinPairs(options.ulimits)],
    options.provenance !== false && ["attest:provenance", `mode=${options.provenance}`],
    options.sbom !== false && [
      "attest:sbom",
      options.sbom === true ? "" : `generator=${options.sbom.generator}`,
    ],
    options.sourceDateEpoch !== undefined && ["build-arg:SOURCE_DATE_EPOCH", String(options.sourceDateEpoch)],
  ];
  return pairs.filter((pair) => pair !== false && pair !== undefined);
}

function checks(options: BuildOptions, inputs: Inputs): Pairs {
  const value = buildChecks(options, inputs);
  return value === undefined ? [] : [[`build-arg:${checkArg}`, value]];
}

function sources(inputs: Inputs, images: readonly LocalImage[]): Pairs {
  const replaced = replacedFrontend(inputs);
  return [
    ...Object.entries(inputs.buildArgs).map(([name, value]) => [`build-arg:${name}`, value] as const),
    ...Object.entries(inputs.labels).map(([name, value]) => [`label:${name}`, value] as const),
    ...(inputs.context.kind === "git" ? [["context", inputs.context.url] as const] : []),
    // With a git context BuildKit looks for the Dockerfile in it, unless this key names a local folder.
    ...(inputs.context.kind === "git" && inputs.dockerfile !== undefined
      ? [["dockerfilekey", "dockerfile"] as const]
      : []),
    ...filename(inputs),
    // BuildKit asks for no other frontend where this says what asked for it (frontend/dockerfile/builder/build.go).
    ...(replaced === undefined ? [] : [["cmdline", replaced] as const]),
    ...images.flatMap(({ buildArg, context, id, digest }) => [
      ...(buildArg === undefined ? [] : [[`build-arg:${buildArg}`, context] as const]),
      [`context:${context}`, `oci-layout://${id}@${digest}`] as const,
    ]),
    ...inputs.contexts.flatMap((context) => {
      if (context.kind === "layout") return [];
      const source = context.kind === "folder" ? `local:${localName(context.name)}` : context.url;
      return [[`context:${context.name}`, source] as const];
    }),
  ];
}

function filename({ dockerfile, gitDockerfile }: Inputs): Pairs {
  const name = dockerfile?.name ?? gitDockerfile;
  return name === undefined ? [] : [["filename", name]];
}

function locals(inputs: Inputs): ReadonlyMap<string, string> {
  return new Map([
    ...(inputs.context.kind === "folder" ? [["context", inputs.context.path] as const] : []),
    ...(inputs.dockerfile === undefined ? [] : [["dockerfile", inputs.dockerfile.folder] as const]),
    ...inputs.contexts.flatMap((context) =>
      context.kind === "folder" ? [[localName(context.name), context.path] as const] : [],
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

/** `index:name` and `manifest-descriptor[linux/arm64]:name` say where an annotation goes, as buildx has it; else the manifest. */
function annotation(name: string): string {
  const [, place, key] = /^((?:index|manifest)(?:-descriptor)?(?:\[[^\]]+\])?):(.+)$/.exec(name) ?? [];
  return place === undefined ? `annotation.${name}` : `annotation-${place}.${key}`;
}

/** An image layout on this disk, under the context name by which `FROM` finds it. */
interface LocalImage {
  readonly id: string;
  readonly context: string;
  readonly buildArg: string | undefined;
  readonly layout: string;
  readonly digest: string;
}

function localImages(inputs: Inputs): readonly LocalImage[] {
  const aliases = imageArgAliases(inputs.imageArgs.map(({ name }) => name));
  const named = inputs.contexts.filter((context) => context.kind === "layout");
  return [
    ...inputs.imageArgs.map((image) => ({
      ...image,
      buildArg: image.name,
      context: aliases.get(image.name) ?? image.name,
    })),
    ...named.map((image) => ({ ...image, buildArg: undefined, context: image.name })),
  ].map(({ buildArg, context, layout, digest }, index) => ({
    id: `image-${index}`,
    buildArg,
    context,
    layout,
    digest,
  }));
}

/**
 * The image reference each image arg's build arg is given: `image-arg/` and the arg's name as a path component of
 * a reference (lower case, distribution's grammar for repository names), made unique where two names fold to one.
 */
function imageArgAliases(names: readonly string[]): ReadonlyMap<string, string> {
  const taken = new Map<string, string>();
  for (const name of names) {
    const folded =
      name
        .toLowerCase()
        .replaceAll(/[^a-z0-9]+/g, "_")
        .replaceAll(/^_+|_+$/g, "") || "image";
    let alias = `image-arg/${folded}`;
    for (let count = 2; [...taken.values()].includes(alias); count++) alias = `image-arg/${folded}_${count}`;
    taken.set(name, alias);
  }
  return taken;
}

function localName(contextName: string): string {
  return `context-${contextName}`;
}

function hosts(addresses: BuildOptions["addHosts"]): string {
  return Object.entries(addresses)
    .flatMap(([name, list]) => list.map((address) => `${name}=${address}`))
    .join(",");
}

function joinPairs(record: Readonly<Record<string, string>>): string {
  return Object.entries(record)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
}
