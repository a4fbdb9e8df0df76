import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { absoluteFolders } from "../../host/child.ts";
import { messageOf } from "../../host/errors.ts";
import { formatBytes } from "../../host/format.ts";
import type { StepContext } from "../../host/step-context.ts";
import { sum } from "../../host/sum.ts";
import { formatPlatform, hostPlatform } from "../../image/platform.ts";
import type { Builder } from "../builder.ts";
import type { AttributePairs } from "../plan/csv.ts";
import { readInstructions } from "../plan/instructions.ts";
import { cacheAttributes, type LayerCache } from "../plan/layer-cache.ts";
import type { Solve } from "../plan/plan.ts";
import { buildctlEnvironment } from "../program-environment.ts";
import type { FollowedSolve } from "../progress/followed-solve.ts";
import { exportingResult, type StepName } from "../progress/step.ts";
import { formatSeconds } from "../progress/text.ts";
import type { SolveWatch } from "../solve/solve-request.ts";
import type { FindMounts } from "./dockerfile-stages.ts";
import { findMounts } from "./find-mounts.ts";
import { mountKey } from "./mount-flags.ts";
import { type DaemonMounts, type RestoredMounts, restoreMounts } from "./restore.ts";
import { nothingSaved, type SavedReport, saveMounts } from "./save.ts";
import { findOpenings } from "./stage-openings.ts";
import { unpackBases } from "./unpack-bases.ts";

export interface OpenMounts {
  readonly step: StepContext;
  readonly builder: Builder;
  readonly solves: readonly [Solve, ...Solve[]];
  /** Whether the daemon is the step's own. A daemon elsewhere keeps its mounts itself. */
  readonly isOwn: boolean;
  /** Undefined if the Dockerfile isn't on this machine. */
  readonly dockerfile: string | undefined;
  /** Milliseconds. A transfer that reports nothing new for so long is given up. */
  readonly stall: number;
}

/** The cache mounts of a build, saved beside its layer cache. Disposing stops unfinished transfers. */
export interface CacheMounts extends AsyncDisposable {
  /** Starts to save the mounts as soon as the solve exports its result. */
  readonly watch: SolveWatch;
  /**
   * Saves the mounts after the build.
   * @param steps how many of its instructions were run; if none were, no mount has changed
   */
  save(steps: number): Promise<void>;
}

/**
 * Restores the cache mounts that a build can use, on its own daemon. The build has to wait for it: a step that began
 * can't be stopped for certain, and its result would be cached. A problem never fails a build: it is logged, and the
 * mount begins empty.
 * @returns undefined if there is nothing to restore or save
 */
export async function openCacheMounts(open: OpenMounts): Promise<CacheMounts | undefined> {
  const { step, builder, solves, dockerfile } = open;
  const locations = builder.cache.locations.filter(
    ({ mounts }) => mounts?.restore === true || mounts?.save === true,
  );
  if (locations.length === 0) return undefined;
  if (!open.isOwn) {
    step.log.line("cache mounts: not kept by this put: the BuildKit elsewhere keeps its own");
    return undefined;
  }
  if (dockerfile === undefined) {
    step.log.line(
      "cache mounts: not kept, because the Dockerfile is in a git repository, where it can't be read here",
    );
    return undefined;
  }
  if (!readInstructions(dockerfile).some(({ name }) => name === "FROM")) {
    step.log.line(
      "cache mounts: not kept, because the Dockerfile has no FROM: it is written for another frontend than Docker's, and its cache mounts can't be found",
    );
    return undefined;
  }
  const { options } = solves[0];
  if (options.has("no-cache")) {
    // BuildKit gives such steps mounts of their own, which are empty, and can't be found again.
    step.log.line("cache mounts: not kept by this put, because no_cache gives its steps empty ones");
    return undefined;
  }
  const buildPlatform = hostPlatform(step.arch);
  const find: FindMounts = {
    dockerfile,
    buildArgs: Object.fromEntries(
      [...options].flatMap(([name, value]) =>
        name.startsWith("build-arg:") ? [[name.slice("build-arg:".length), value]] : [],
      ),
    ),
    targets: solves.map(({ target }) => target),
    platforms: solves[0].platforms.length > 0 ? solves[0].platforms : [buildPlatform],
    buildPlatform,
  };
  const found = findMounts(find);
  if (found.leftOut.length > 0) step.log.line(`cache mounts: not kept: ${found.leftOut.join("; ")}`);
  if (found.mounts.length === 0) return undefined;
  const tools = await makeTools(builder.workspace, step);
  if (tools === undefined) {
    step.log.warn(
      "cache mounts not kept: there is no busybox on PATH to copy them with; install a static one (Debian's package busybox-static)",
    );
    return undefined;
  }
  const stopped = new AbortController();
  await using held = new AsyncDisposableStack();
  const [share] = await builder.pool.share(solves[0].target, solves[0].platforms);
  const daemon: DaemonMounts = {
    context: {
      step: { ...step, signal: AbortSignal.any([step.signal, stopped.signal]) },
      engine: share.engines[0],
      env: buildctlEnvironment(step, builder),
      authTls: builder.authTls,
      workspace: builder.workspace,
      tools,
      platform: formatPlatform(buildPlatform),
      namespace: options.get("build-arg:BUILDKIT_CACHE_MOUNT_NS") ?? "",
      silence: open.stall,
    },
    mounts: found.mounts,
    instructions: found.instructions,
    locations,
    unpackBases: (mounts) => {
      const openings = findOpenings(find, new Set(mounts.map(mountKey)));
      const importCaches = importsOf(builder.cache, solves);
      const unpacking = unpackBases(daemon.context, { dockerfile, openings, solve: solves[0], importCaches });
      return held.use(unpacking);
    },
  };
  const restored = await restoreMounts(daemon).catch((thrown: unknown) => {
    step.signal.throwIfAborted();
    // A full disk, for example. The build may still succeed without the mounts' content.
    step.log.warn(`cache mounts not restored: ${messageOf(thrown)}`);
    return undefined;
  });
  return new MountsOfBuild(daemon, { stopped, restored, solves: solves.length, held: held.move() });
}

/** The layer caches of all targets. */
function importsOf(cache: LayerCache, solves: readonly Solve[]): readonly AttributePairs[] {
  const imports = solves.flatMap(
    ({ target }) => cacheAttributes(cache, { target, platform: undefined }).imports,
  );
  return [...new Map(imports.map((attributes) => [JSON.stringify(attributes), attributes])).values()];
}

/** BuildKit's name for a step that uses a cache mount. In a name that is cut off, a cache mount may be what is cut. */
const usesMount = /^RUN .*--mount=(\S*\btype=cache\b|.*…$)/i;

/** What was begun before a build. */
interface BegunBuild {
  readonly stopped: AbortController;
  /** Undefined if restoring failed. */
  readonly restored: RestoredMounts | undefined;
  /** The number of solves. */
  readonly solves: number;
  /** What goes on during the build, and ends with it. */
  readonly held: AsyncDisposableStack;
}

class MountsOfBuild implements CacheMounts {
  readonly watch: SolveWatch;
  readonly #daemon: DaemonMounts;
  readonly #stopped: AbortController;
  /** Undefined if restoring failed. */
  readonly #restored: RestoredMounts | undefined;
  readonly #held: AsyncDisposableStack;
  readonly #followed = new Set<Pick<FollowedSolve, "ran">>();
  #saving: Promise<SavedReport> | undefined;

  constructor(daemon: DaemonMounts, { stopped, restored, solves, held }: BegunBuild) {
    this.#daemon = daemon;
    this.#stopped = stopped;
    this.#restored = restored;
    this.#held = held;
    this.watch = (solve) => {
      this.#followed.add(solve);
      // The result is exported after the last step. If there are several solves, another may still be running steps.
      if (solves === 1 && solve.running().some(({ text }) => exportingResult.test(text)))
        void this.#saveOnce();
    };
  }

  async save(steps: number): Promise<void> {
    if (steps === 0) this.#stopped.abort();
    const report = steps === 0 ? nothingSaved : await this.#saveOnce();
    const before = this.#restored;
    const { log } = this.#daemon.context.step;
    const restored = [...(before?.restored.values() ?? [])].map(({ bytes }) => bytes);
    const copied = `${restored.length} restored, ${formatBytes(sum(restored))}; ${report.saved} saved, ${formatBytes(report.bytes)}`;
    const paused = before?.lists.flatMap(({ pausedUntil }) => pausedUntil ?? [])[0];
    if (paused !== undefined && restored.length === 0 && report.saved === 0) log.line(pausedLine(paused));
    else log.line(`cache mounts: ${copied}${balanceText(report)}`);
    if (report.pausedUntil !== undefined) log.line(pausedLine(report.pausedUntil));
  }

  #saveOnce(): Promise<SavedReport> {
    this.#saving ??= this.#save();
    return this.#saving;
  }

  async #save(): Promise<SavedReport> {
    const before = this.#restored;
    const { signal } = this.#daemon.context.step;
    if (before === undefined || signal.aborted) return nothingSaved;
    const ran = new Map(
      [...this.#followed]
        .flatMap((solve) => solve.ran())
        .filter(({ name }) => isMountStep(name))
        .map((step) => [step.digest, step]),
    );
    return saveMounts(this.#daemon, { before, ran: [...ran.values()] }).catch((thrown: unknown) => {
      if (signal.aborted) return nothingSaved;
      throw thrown;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    await Promise.allSettled([this.#saving, this.#held.disposeAsync()]);
  }
}

function isMountStep({ isInstruction, text }: StepName): boolean {
  return isInstruction && usesMount.test(text);
}

/** The time that the cache mounts have won and lost. */
function balanceText({ balance }: SavedReport): string {
  if (balance === undefined) return "";
  const { gained, lost } = balance;
  const steps = `steps ${formatSeconds(Math.abs(gained))} ${gained < 0 ? "slower" : "faster"}`;
  return `; ${steps}, ${formatSeconds(lost)} lost to copying`;
}

function pausedLine(until: number): string {
  const day = new Date(until).toISOString().slice(0, 10);
  return `cache mounts: not kept until ${day}, as copying them took longer than it saved (docs/caching.md)`;
}

/** Makes a folder with only busybox in it, for transfer steps, which begin from an empty filesystem. */
async function makeTools(workspace: string, step: StepContext): Promise<string | undefined> {
  const folder = join(workspace, "cache-mounts");
  await mkdir(folder, { mode: 0o700 });
  for (const from of absoluteFolders(step.env)) {
    const isCopied = await copyFile(join(from, "busybox"), join(folder, "busybox")).then(
      () => true,
      () => false,
    );
    if (isCopied) return folder;
  }
  return undefined;
}
