import { readRemoteContext } from "../builder/inputs/remote-context.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import { namesOfPut } from "../host/author-names.ts";
import { formatPlatform } from "../image/platform.ts";

type Recorder<T> = (value: T) => unknown;

const asIs = (value: unknown): unknown => value;
/** For what is a secret, may hold one, or is in another field of the record. */
const leftOut = (): undefined => undefined;
/** A path as it is, a URL without its user and password. */
const withoutLogin = (context: string): string =>
  readRemoteContext(context, "context", namesOfPut)?.url ?? context;
/** The ids alone. */
const idsOf = (values: Readonly<Record<string, unknown>>): string[] => Object.keys(values);

/**
 * How the record of a build shows each option. Each new option needs a row here, so that nothing gets into the
 * record unseen.
 */
const recorders: { readonly [K in keyof BuildOptions]-?: Recorder<BuildOptions[K]> } = {
  context: withoutLogin,
  dockerfile: asIs,
  dockerfileInline: leftOut,
  buildArgs: leftOut,
  buildArgsFile: asIs,
  labels: leftOut,
  expand: asIs,
  labelsFile: asIs,
  gitLabels: asIs,
  version: asIs,
  target: asIs,
  targetFile: asIs,
  additionalTargets: asIs,
  imageArgs: asIs,
  contexts: (contexts) =>
    Object.fromEntries(Object.entries(contexts).map(([name, context]) => [name, withoutLogin(context)])),
  platforms: (platforms) => platforms.map(formatPlatform),
  secrets: idsOf,
  ssh: idsOf,
  addHosts: asIs,
  registryMirrors: asIs,
  buildkitExtraConfig: leftOut,
  noCache: asIs,
  pull: asIs,
  network: (network) => (network === "default" ? undefined : network),
  shmSize: asIs,
  ulimits: asIs,
  allow: asIs,
  annotations: asIs,
  provenance: asIs,
  sbom: asIs,
  compression: asIs,
  sourceDateEpoch: asIs,
  sourcePolicy: (policy) => policy && { ...policy, expressions: undefined },
  frontendOptions: asIs,
  failOnWarnings: asIs,
  progress: (progress) => (progress === "steps" ? undefined : progress),
};

/** The options for the record of a build, by the names of the params, without those that ask for nothing. Pure. */
export function recordedParams(options: BuildOptions): Record<string, unknown> {
  const shown = Object.entries(recorders).map(([name, record]) => {
    const value = (record as Recorder<unknown>)(options[name as keyof BuildOptions]);
    return [paramOf(name), value] as const;
  });
  return Object.fromEntries(shown.filter(([, value]) => !asksForNothing(value)));
}

/** The param's name of an option. */
function paramOf(name: string): string {
  if (name === "frontendOptions") return "options";
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function asksForNothing(value: unknown): boolean {
  if (value === undefined || value === false || value === "") return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
