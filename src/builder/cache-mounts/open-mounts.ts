import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { absoluteFolders } from "../../host/child.ts";
import { formatBytes } from "../../host/format.ts";
import type { StepContext } from "../../host/step-context.ts";
import { formatPlatform, hostPlatform } from "../../image/platform.ts";
import type { Builder } from "../builder.ts";
import type { Solve } from "../plan/plan.ts";
import { type DaemonMounts, type RestoredMounts, restoreMounts, saveMounts } from "./cache-mounts.ts";
import { findMounts } from "./find-mounts.ts";

export interface OpenMounts {
  readonly step: StepContext;
  readonly builder: Builder;
  readonly solves: readonly [Solve, ...Solve[]];
  /** Whether the daemon is the step's own; one elsewhere keeps its mounts itself. */
  readonly isOwn: boolean;
  /** Undefined when it isn't here to be looked at. */
  readonly dockerfile: string | undefined;
  /** Milliseconds of silence after which content is done without. */
  readonly stall: number;
}

/** The cache mounts of a build, beside its layer cache. */
export interface CacheMounts {
  /** After the build. @param steps how many of its instructions were run: without any, no mount has changed */
  save(steps: number): Promise<void>;
}

/**
 * Restores the cache mounts that a build can use, on the daemon of its own. No trouble with them fails a build: it is
 * logged, and a mount begins empty.
 * @returns undefined where there is nothing to restore or save
 */
export async function openCacheMounts(open: OpenMounts): Promise<CacheMounts | undefined> {
  const { step, builder, solves } = open;
  const locations = builder.cache.locations.filter(
    ({ mounts }) => mounts?.restore === true || mounts?.save === true,
  );
  if (locations.length === 0) return undefined;
  if (!open.isOwn) {
    step.log.line("cache mounts: left to the BuildKit elsewhere, which keeps its own");
    return undefined;
  }
  if (open.dockerfile === undefined) {
    step.log.line("cache mounts: not kept, as the Dockerfile is in a repository and can't be looked at here");
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
      "cache mounts not kept: there is no busybox on PATH to copy them with; install a static one (Debian's busybox-static)",
    );
    return undefined;
  }
  const [share] = await builder.pool.share(solves[0].target, solves[0].platforms);
  const daemon: DaemonMounts = {
    context: {
      step,
      engine: share.engines[0],
      env: { ...step.env, ...builder.registries.env, ...builder.cache.clientEnv },
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
  const before = await restoreMounts(daemon);
  return { save: (steps) => saveAndTell(daemon, before, steps) };
}

async function saveAndTell(daemon: DaemonMounts, before: RestoredMounts, steps: number): Promise<void> {
  const { saved, bytes } = steps === 0 ? { saved: 0, bytes: 0 } : await saveMounts(daemon, before);
  const restored = [...before.restored.values()];
  const sum = restored.reduce((total, size) => total + size, 0);
  daemon.context.step.log.line(
    `cache mounts: ${restored.length} restored, ${formatBytes(sum)}; ${saved} saved, ${formatBytes(bytes)}`,
  );
}

/** A folder with busybox alone, for steps that begin with nothing. */
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
