import { type Builder, type BuilderOptions, type Daemons, openBuilder } from "../builder/builder.ts";
import { openCacheMounts } from "../builder/cache-mounts/open-mounts.ts";
import { checkEngineLimits } from "../builder/engine/limits.ts";
import { askBuildctl } from "../builder/engine/program-versions.ts";
import { versionIn } from "../builder/engine/version.ts";
import type { InputFolder } from "../builder/inputs/input-folder.ts";
import type { Inputs } from "../builder/inputs/inputs.ts";
import { resolveInputs } from "../builder/inputs/resolve-inputs.ts";
import type { BuildPlatforms } from "../builder/inputs/wanted-platforms.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import { replacedFrontend } from "../builder/plan/frontend.ts";
import type { LayerCache } from "../builder/plan/layer-cache.ts";
import { planBuild } from "../builder/plan/plan.ts";
import { describeBuild } from "../builder/solve/describe-build.ts";
import { type Solved, solveAll } from "../builder/solve/solve-all.ts";
import { dropUnused } from "../builder/task-cache.ts";
import { concurrently } from "../host/concurrently.ts";
import { createPrivateFolder } from "../host/private-folder.ts";
import type { StepContext } from "../host/step-context.ts";
import { sum } from "../host/sum.ts";
import type { TraceTarget } from "../host/trace.ts";
import type { Platform } from "../image/descriptor.ts";
import { mediaTypes } from "../image/media-types.ts";
import { mergedIndex } from "../image/merge-index.ts";
import { hostPlatform } from "../image/platform.ts";
import type { RegistryAccess } from "../registry/access.ts";
import { withMirrors } from "../registry/mirrors.ts";
import { defaultTimeouts, type Timeouts } from "../registry/retry-policy.ts";
import type { Stage, Store } from "../store/store.ts";
import type { BuildFacts } from "./build-record.ts";
import { expandBuildVariables } from "./build-variables.ts";
import { knownSecrets } from "./known-secrets.ts";
import { warnOfParams } from "./param-warnings.ts";
import { noteIdleRules } from "./policy-notes.ts";
import { responsiveCaches } from "./responsive-caches.ts";

/** What a build and questions about its Dockerfile need. */
export interface OpenBuild {
  readonly step: StepContext;
  readonly options: BuildOptions;
  readonly folder: InputFolder;
  readonly access: RegistryAccess;
  readonly daemons: Daemons;
  readonly cache: LayerCache;
  /** TOML from the source, for the step's own daemon. */
  readonly buildkitConfig: string | undefined;
  /** Its headers are secret. */
  readonly tracing: TraceTarget | undefined;
}

export interface RunBuild extends OpenBuild {
  /** The folder in which {@link cache} is kept from one run to the next. It may be inside the inputs' folder. */
  readonly cacheFolder: string | undefined;
  readonly store: Store;
  /** Whether a target's result is needed. The main target has an empty name. By default all are needed. */
  readonly isExported?: (target: string) => boolean;
  readonly timeouts: Partial<Timeouts>;
}

/** The result of a build, in a stage of the store. The caller commits it, or reads from it. */
export interface RanBuild extends AsyncDisposable {
  readonly stage: Stage;
  readonly facts: BuildFacts;
}

/**
 * Builds every target into a stage of the store. When this returns, the daemon is being ended and its state removed,
 * while the caller reads and stores the result. Disposing waits for that, and disposes of the stage.
 * @throws UserError for anything in options, inputs, Dockerfile or environment that prevents the build
 */
export async function runBuild(run: RunBuild): Promise<RanBuild> {
  const { step, store } = run;
  const started = Date.now();
  const options = expandBuildVariables(withPlatforms(run), step);
  await using held = new AsyncDisposableStack();
  await using tools = new AsyncDisposableStack();
  const { path: workspace } = tools.use(await createPrivateFolder("inputs"));
  // The daemon takes a moment to start. Meanwhile the inputs are read and the store is prepared.
  const timeouts = { ...defaultTimeouts, ...run.timeouts };
  const [builder, inputs, cache] = await concurrently(step.signal, [
    async (signal) => {
      const wanted = builderOptions(run, store.where, { ...step, signal });
      return tools.use(await step.trace("start BuildKit", () => openBuilder(wanted)));
    },
    (signal) =>
      step.trace("read inputs", () =>
        resolveInputs({
          options,
          folder: run.folder,
          workspace,
          platforms: buildPlatforms(options.platforms, run),
          env: step.env,
          names: step.names,
          excluded: run.cacheFolder,
          log: step.log,
          signal,
        }),
      ),
    (signal) =>
      responsiveCaches(run.cache, {
        access: run.access,
        stall: timeouts.stall,
        step: { ...step, signal },
        namespace: options.buildArgs["BUILDKIT_CACHE_MOUNT_NS"] ?? "",
      }),
    (signal) => step.trace("prepare store", () => store.prepare(signal)),
  ]);
  const stage = held.use(await store.stage(step.signal));
  warnOfParams(options, inputs, step);
  const { limited } = builder.pool;
  if (limited !== undefined) {
    const own = hostPlatform(step.arch);
    const dockerfile = inputs.dockerfile?.text;
    checkEngineLimits(limited, { ...options, own, dockerfile }, step);
  }
  const replaced = replacedFrontend(inputs);
  if (replaced !== undefined)
    step.log.line(`${replaced} can't read images of the inputs: BuildKit's own frontend is used instead`);
  const solved = await solve(run, { builder: { ...builder, cache }, options, inputs, timeouts, stage });
  noteIdleRules(options, solved, step);
  if (run.cacheFolder !== undefined) await dropUnused(run.cacheFolder, ["", ...options.additionalTargets]);
  const ended = tools.move().disposeAsync();
  // A failure is thrown where it is awaited.
  ended.catch(() => {});
  held.defer(() => ended);
  const owned = held.move();
  const facts: BuildFacts = { ...solved, started, options, inputs };
  return { stage, facts, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

interface ReadyToSolve {
  readonly builder: Builder;
  readonly options: BuildOptions;
  readonly inputs: Inputs;
  readonly timeouts: Timeouts;
  readonly stage: Stage;
}

/** Solves all targets into the stage, with the cache mounts that are kept, and keeps those that have changed. */
async function solve(
  run: RunBuild,
  { builder, options, inputs, timeouts, stage }: ReadyToSolve,
): Promise<Solved & Pick<BuildFacts, "secrets" | "buildctl">> {
  const { step } = run;
  const solves = planBuild(options, inputs);
  await using mounts = await openCacheMounts({
    step,
    builder,
    solves,
    isOwn: run.daemons.kind === "own",
    dockerfile: inputs.dockerfile?.text,
    stall: timeouts.stall,
  });
  // The files of secrets are gone when this returns.
  const secrets = await knownSecrets({ access: run.access, inputs, cache: run.cache, tracing: run.tracing });
  const { signal } = step;
  const solved = await solveAll({
    step,
    builder,
    solves,
    described: describeBuild(inputs, {
      ...options,
      shown: options.context,
      access: run.access,
      cache: builder.cache,
      isOwn: run.daemons.kind === "own",
      names: step.names,
    }),
    style: options.progress,
    timeouts,
    watch: mounts?.watch,
    exporter: async (target) => (run.isExported?.(target) === false ? undefined : stage.exporter(target)),
    merge: async (built) => stage.add(await mergedIndex(stage.blobs, built, signal), mediaTypes.ociIndex),
  });
  if (mounts !== undefined) {
    const ran = sum(solved.results.flatMap(({ summaries }) => summaries).map(({ steps }) => steps.run));
    await step.trace("save cache mounts", () => mounts.save(ran));
  }
  return { ...solved, secrets, buildctl: await buildctlVersion(solved, step) };
}

/** buildctl's version. Only a buildctl that isn't ours has to be asked for it. Undefined if its build has none. */
async function buildctlVersion({ results }: Solved, step: StepContext): Promise<string | undefined> {
  const stated = results.flatMap(({ engines }) => engines.flatMap(({ buildctl }) => buildctl ?? []))[0];
  return versionIn(stated ?? (await askBuildctl(step)));
}

/**
 * By default the step's own daemon builds for the worker's platform. The default of a daemon elsewhere is not known
 * here.
 */
export function buildPlatforms(
  given: readonly Platform[],
  { daemons, step }: Pick<OpenBuild, "daemons" | "step">,
): BuildPlatforms {
  const own = daemons.kind === "own" ? hostPlatform(step.arch) : undefined;
  return { targets: given.length === 0 && own !== undefined ? [own] : given, own };
}

/** Nodes may have different platforms. If the author names none, it is always the first node's. */
function withPlatforms({ options, daemons }: RunBuild): BuildOptions {
  if (daemons.kind !== "nodes" || options.platforms.length > 0) return options;
  return { ...options, platforms: [daemons.nodes[0].platforms[0]] };
}

/** @param subject what is built, see {@link BuilderOptions} */
export function builderOptions(run: OpenBuild, subject: string, step: StepContext): BuilderOptions {
  const { options } = run;
  const { names } = step;
  const texts = [
    { subject: "buildkit_config", text: run.buildkitConfig },
    { subject: names.param("buildkit_extra_config"), text: options.buildkitExtraConfig },
  ];
  return {
    step,
    access: {
      ...run.access,
      hosts: withMirrors(run.access.hosts, "docker.io", options.registryMirrors, (index) =>
        names.place(["registry_mirrors", index]),
      ),
    },
    daemons: run.daemons,
    cache: run.cache,
    subject,
    entitlements: options.allow,
    daemonConfig: texts.flatMap(({ subject: param, text }) =>
      text === undefined ? [] : [{ subject: param, text }],
    ),
  };
}
