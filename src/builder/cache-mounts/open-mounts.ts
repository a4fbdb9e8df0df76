import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { absoluteFolders } from "../../host/child.ts";
import { formatBytes } from "../../host/format.ts";
import type { StepContext } from "../../host/step-context.ts";
import { formatPlatform, hostPlatform } from "../../image/platform.ts";
import type { Builder } from "../builder.ts";
import type { Solve } from "../plan/plan.ts";
import { buildctlEnvironment } from "../program-environment.ts";
import type { StepHold } from "../solve/solve-request.ts";
import {
  type DaemonMounts,
  type RestoredMounts,
  restoreMounts,
  type SavedReport,
  saveMounts,
} from "./cache-mounts.ts";
import { findMounts } from "./find-mounts.ts";

export interface OpenMounts {
  readonly step: StepContext;
  readonly builder: Builder;
  readonly solves: readonly [Solve, ...Solve[]];
  /** Whether the daemon is the step's own. A daemon elsewhere keeps its mounts itself. */
  readonly isOwn: boolean;
  /** Undefined if the Dockerfile isn't on this machine. */
  readonly dockerfile: string | undefined;
  /**
   * Whether the build can detect a step that begins too early. If not, the build begins when everything is
   * restored.
   */
  readonly canHold: boolean;
  /** Milliseconds. A transfer that reports nothing new for so long is given up. */
  readonly stall: number;
}

/** The cache mounts of a build, saved beside its layer cache. Disposing stops unfinished transfers. */
export interface CacheMounts extends AsyncDisposable {
  /** Holds back the steps that use cache mounts until the mounts are restored. */
  readonly hold: StepHold;
  /**
   * Saves the mounts after the build.
   * @param steps how many of its instructions were run; if none were, no mount has changed
   */
  save(steps: number): Promise<void>;
}

/**
 * Starts to restore the cache mounts that a build can use, on its own daemon, while the build's first steps run. A
 * problem with them never fails a build: it is logged, and the mount begins empty.
 * @returns undefined if there is nothing to restore or save
 */
export async function openCacheMounts(open: OpenMounts): Promise<CacheMounts | undefined> {
  const { step, builder, solves } = open;
  const locations = builder.cache.locations.filter(
    ({ mounts }) => mounts?.restore === true || mounts?.save === true,
  );
  if (locations.length === 0) return undefined;
  if (!open.isOwn) {
    step.log.line("cache mounts: not kept by this put: the BuildKit elsewhere keeps its own");
    return undefined;
  }
  if (open.dockerfile === undefined) {
    step.log.line(
      "cache mounts: not kept, because the Dockerfile is in a git repository, where it can't be read here",
    );
    return undefined;
  }
  const { options } = solves[0];
  const buildPlatform = hostPlatform(step.arch);
  const found = findMounts({
    dockerfile: open.dockerfile,
    buildArgs: Object.fromEntries(
      [...options].flatMap(([name, value]) =>
        name.startsWith("build-arg:") ? [[name.slice("build-arg:".length), value]] : [],
      ),
    ),
    targets: solves.map(({ target }) => target),
    platforms: solves[0].platforms.length > 0 ? solves[0].platforms : [buildPlatform],
    buildPlatform,
  });
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
  const [share] = await builder.pool.share(solves[0].target, solves[0].platforms);
  const daemon: DaemonMounts = {
    context: {
      step: { ...step, signal: AbortSignal.any([step.signal, stopped.signal]) },
      engine: share.engines[0],
      env: buildctlEnvironment(step, builder.registries, builder.cache, builder.tracing),
      authTls: builder.authTls,
      workspace: builder.workspace,
      tools,
      platform: formatPlatform(buildPlatform),
      namespace: options.get("build-arg:BUILDKIT_CACHE_MOUNT_NS") ?? "",
      silence: open.stall,
    },
    mounts: found.mounts,
    locations,
  };
  const mounts = new MountsOfBuild(daemon, stopped, solves.length);
  if (found.isPrivate || !open.canHold) await mounts.hold.released;
  return mounts;
}

/** BuildKit's name for a step that uses a cache mount. */
const usesMount = /^RUN .*--mount=\S*\btype=cache\b/i;
/** What BuildKit does after the last step. */
const isExport = /^exporting to /;

class MountsOfBuild implements CacheMounts {
  readonly hold: StepHold;
  readonly #daemon: DaemonMounts;
  readonly #stopped: AbortController;
  /** Undefined if restoring was stopped or failed. */
  readonly #restored: Promise<RestoredMounts | undefined>;
  #isRestored = false;
  #saving: Promise<SavedReport> | undefined;

  constructor(daemon: DaemonMounts, stopped: AbortController, solves: number) {
    this.#daemon = daemon;
    this.#stopped = stopped;
    const { signal } = daemon.context.step;
    this.#restored = restoreMounts(daemon).catch((thrown: unknown) => {
      // A full disk, for example. The build may still succeed without the mounts' content.
      if (!signal.aborted) daemon.context.step.log.warn(`cache mounts not restored: ${String(thrown)}`);
      return undefined;
    });
    this.hold = {
      released: this.#release(),
      isHeld: (running) =>
        !this.#isRestored && running.some(({ isInstruction, text }) => isInstruction && usesMount.test(text)),
      isRunning: (running) => {
        // If there are several solves, another may still be running steps.
        if (solves === 1 && running.some(({ text }) => isExport.test(text))) void this.#saveOnce();
      },
    };
  }

  async save(steps: number): Promise<void> {
    if (steps === 0) this.#stopped.abort();
    const { saved, bytes } = steps === 0 ? nothingSaved : await this.#saveOnce();
    const restored = [...((await this.#restored)?.restored.values() ?? [])];
    const sum = restored.reduce((total, size) => total + size, 0);
    this.#daemon.context.step.log.line(
      `cache mounts: ${restored.length} restored, ${formatBytes(sum)}; ${saved} saved, ${formatBytes(bytes)}`,
    );
  }

  async #release(): Promise<void> {
    await this.#restored;
    this.#isRestored = true;
  }

  #saveOnce(): Promise<SavedReport> {
    this.#saving ??= this.#save();
    return this.#saving;
  }

  async #save(): Promise<SavedReport> {
    const before = await this.#restored;
    const { signal } = this.#daemon.context.step;
    if (before === undefined || signal.aborted) return nothingSaved;
    return saveMounts(this.#daemon, before).catch((thrown: unknown) => {
      if (signal.aborted) return nothingSaved;
      throw thrown;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    await Promise.allSettled([this.#restored, this.#saving]);
  }
}

const nothingSaved: SavedReport = { saved: 0, bytes: 0 };

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
