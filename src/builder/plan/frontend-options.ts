import type { Platform } from "../../image/descriptor.ts";
import { formatExactPlatform } from "../../image/platform.ts";
import type { Inputs } from "../inputs/inputs.ts";
import { buildChecks, checkArg } from "./build-checks.ts";
import type { BuildOptions } from "./build-options.ts";
import { replacedFrontend } from "./frontend.ts";
import { contextFolderName, type LocalImage } from "./local-images.ts";

/** Platforms in the frontend's form, separated by commas. */
export function platformList(platforms: readonly Platform[]): string {
  return platforms.map(formatExactPlatform).join(",");
}

/** Names and values. */
export type FrontendOptions = readonly (readonly [string, string])[];

/**
 * The frontend options (`--opt`) that all targets of a build share. Of two entries with one name the later wins, so
 * the params' options come after those from files of the inputs. Pure.
 */
export function frontendOptions(
  options: BuildOptions,
  inputs: Inputs,
  images: readonly LocalImage[],
): FrontendOptions {
  return [
    ...sources(inputs, images),
    ...settings(options),
    ...checks(options, inputs),
    ...Object.entries(options.frontendOptions),
  ];
}

function settings(options: BuildOptions): FrontendOptions {
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

function checks(options: BuildOptions, inputs: Inputs): FrontendOptions {
  const value = buildChecks(options, inputs);
  return value === undefined ? [] : [[`build-arg:${checkArg}`, value]];
}

function sources(inputs: Inputs, images: readonly LocalImage[]): FrontendOptions {
  const replaced = replacedFrontend(inputs);
  return [
    ...Object.entries(inputs.buildArgs).map(([name, value]) => [`build-arg:${name}`, value] as const),
    ...Object.entries(inputs.labels).map(([name, value]) => [`label:${name}`, value] as const),
    ...(inputs.context.kind === "git" ? [["context", inputs.context.url] as const] : []),
    // With a git context BuildKit looks for the Dockerfile in it, unless this option names a local folder.
    ...(inputs.context.kind === "git" && inputs.dockerfile !== undefined
      ? [["dockerfilekey", "dockerfile"] as const]
      : []),
    ...filename(inputs),
    // With `cmdline` BuildKit doesn't load the frontend that the Dockerfile names
    // (frontend/dockerfile/builder/build.go).
    ...(replaced === undefined ? [] : [["cmdline", replaced] as const]),
    ...images.flatMap(({ buildArg, context, id, digest }) => [
      ...(buildArg === undefined ? [] : [[`build-arg:${buildArg}`, context] as const]),
      [`context:${context}`, `oci-layout://${id}@${digest}`] as const,
    ]),
    ...inputs.contexts.flatMap((context) => {
      if (context.kind === "layout") return [];
      const source = context.kind === "folder" ? `local:${contextFolderName(context.name)}` : context.url;
      return [[`context:${context.name}`, source] as const];
    }),
  ];
}

function filename({ dockerfile, gitDockerfile }: Inputs): FrontendOptions {
  const name = dockerfile?.name ?? gitDockerfile;
  return name === undefined ? [] : [["filename", name]];
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
