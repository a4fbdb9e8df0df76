import { randomBytes } from "node:crypto";
import { lstat, readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../host/errors.ts";
import { formatBytes } from "../../host/format.ts";
import { createPrivateFolder } from "../../host/private-folder.ts";
import { sum } from "../../host/sum.ts";
import { type CacheLocation, defaultMounts } from "../plan/layer-cache.ts";
import { budgetFor } from "./disk-guard.ts";
import { type CacheMount, mountKey, shownId } from "./mount-flags.ts";
import { type MountGroup, pausedUntil } from "./payoff.ts";
import { mountsPlace } from "./place.ts";
import {
  emptyList,
  findSaved,
  limitProblem,
  parseSavedList,
  type SavedList,
  type SavedMount,
} from "./saved-list.ts";
import { runTransfer, type TransferContext, TransferError } from "./transfer.ts";
import { clearingDockerfile, indexDockerfile, restoringDockerfile } from "./transfer-dockerfile.ts";
import type { BaseUnpacking } from "./unpack-bases.ts";

/** The cache mounts of one daemon during one build. */
export interface DaemonMounts extends MountGroup {
  readonly context: TransferContext;
  readonly locations: readonly CacheLocation[];
  /** Begins to fetch and unpack the base images of the steps that use some mounts, if the build needs them soon. */
  readonly unpackBases?: (mounts: readonly CacheMount[]) => BaseUnpacking | undefined;
}

/** What a location has saved. */
export interface SavedAt {
  readonly location: CacheLocation;
  readonly list: SavedList;
  /**
   * Until when the build's mounts are neither restored from here nor saved here, in milliseconds since 1970.
   * Undefined if they are.
   */
  readonly pausedUntil: number | undefined;
}

/** What the caches had before the build. */
export interface RestoredMounts {
  readonly lists: readonly SavedAt[];
  /** By {@link mountKey}: the content that was restored, and its bytes. */
  readonly restored: ReadonlyMap<string, { readonly saved: SavedMount; readonly bytes: number }>;
  /** Keys of content that couldn't be restored. */
  readonly lost: ReadonlySet<string>;
  /**
   * How long the build waited, less half of the time in which its base images were unpacked: it had to wait for them
   * anyway.
   */
  readonly seconds: number;
}

/**
 * Restores saved content into the mounts. Content that is damaged or missing is skipped with a warning, and the
 * build fills that mount again.
 */
export async function restoreMounts(daemon: DaemonMounts): Promise<RestoredMounts> {
  const begun = performance.now();
  const { context, mounts } = daemon;
  const lists = await Promise.all(daemon.locations.map((location) => readList(location, daemon)));
  const wanted = mounts.map((mount) => ({ mount, sources: sourcesOf(mount, lists) }));
  const bytes = sum(wanted.map(({ sources: [first] }) => first?.saved.bytes ?? 0));
  const unpacking =
    bytes < leastWorthUnpacking
      ? undefined
      : daemon.unpackBases?.(wanted.flatMap(({ mount, sources }) => (sources.length > 0 ? mount : [])));
  const restored = new Map<string, { saved: SavedMount; bytes: number }>();
  const lost = new Set<string>();
  await Promise.all(
    wanted.map(async ({ mount, sources }) => {
      for (const source of sources) {
        try {
          restored.set(mountKey(mount), {
            saved: source.saved,
            bytes: await restore(source, daemon, unpacking),
          });
          return;
        } catch (thrown) {
          warnOf(`cache mount ${shownId(mount)} not restored`, thrown, context);
          lost.add(source.saved.key);
          await clear(mount, daemon);
        }
      }
    }),
  );
  const seconds = (performance.now() - begun) / 1000 - (unpacking?.seconds() ?? 0) / 2;
  return { lists, restored, lost, seconds };
}

/** If there are fewer bytes to restore, the build soon begins, and it is not worth starting its base images before it. */
const leastWorthUnpacking = 10e6;

interface SavedSource {
  readonly location: CacheLocation;
  readonly saved: SavedMount;
}

/** The content that may be restored into a mount, in the order in which it is tried. */
function sourcesOf(mount: CacheMount, lists: readonly SavedAt[]): readonly SavedSource[] {
  return lists.flatMap(({ location, list, pausedUntil: paused }) => {
    const saved = findSaved(list.mounts, mount);
    const isUsed = location.mounts?.restore === true && paused === undefined;
    return isUsed && saved !== undefined ? [{ location, saved }] : [];
  });
}

/** BuildKit takes no larger secret, which the list is when it is written. */
const mostListBytes = 512_000;

/**
 * Reads the list of what a location has saved. If it can't be read, nothing is restored, and the next list that is
 * saved replaces it.
 */
async function readList(location: CacheLocation, daemon: DaemonMounts): Promise<SavedAt> {
  const { context } = daemon;
  const place = mountsPlace(location, context.namespace);
  await using folder = await createPrivateFolder("list", context.workspace);
  try {
    const { isImported } = await runTransfer(context, {
      dockerfile: indexDockerfile(place.id),
      budget: budgetFor(mostListBytes),
      imports: [place.imports],
      output: folder.path,
    });
    const file = join(folder.path, "index");
    // Whoever wrote the cache decides what it is: a link would lead to a file of this step's.
    const found = await lstat(file);
    if (!found.isFile() || found.size > mostListBytes)
      throw new TransferError(`it is not a file of at most ${formatBytes(mostListBytes)}`);
    const text = await readFile(file, "utf8");
    // If BuildKit can't read the cached result of the step, it runs the step again, which then writes an empty
    // list.
    if (text === "" && isImported)
      throw new TransferError("the cache is damaged, or not one of cache mounts");
    const list = parseSavedList(text);
    const isPausable = location.mounts?.always !== true;
    return {
      location,
      list,
      pausedUntil: isPausable ? pausedUntil(list.payoff, daemon, Date.now()) : undefined,
    };
  } catch (thrown) {
    warnOf("saved cache mounts not used: their list can't be read", thrown, context);
    return { location, list: emptyList, pausedUntil: undefined };
  }
}

/** @returns the restored bytes */
async function restore(
  { saved, location }: SavedSource,
  { context }: DaemonMounts,
  unpacking: BaseUnpacking | undefined,
): Promise<number> {
  const place = mountsPlace(location, context.namespace);
  const settings = location.mounts ?? defaultMounts;
  const { limit } = settings;
  const checkSize = (content: { readonly bytes: number; readonly entries: number }) => {
    const problem = limitProblem(content, settings);
    if (problem !== undefined) throw new TransferError(problem);
  };
  checkSize(saved);
  const { reports } = await runTransfer(context, {
    dockerfile: restoringDockerfile(saved, limit, newKey()),
    budget: { ...budgetFor(limit), besides: () => unpacking?.diskBytes() ?? 0 },
    imports: [place.imports],
  });
  const [bytes = 0, files = 0, entries = 0] = reports[0]?.map(Number) ?? [];
  checkSize({ bytes, entries });
  // The step that copied the content wasn't found in the cache, so it was run again, on the empty mount.
  if (files === 0 && saved.bytes > 0) throw new TransferError("the cache no longer has its content");
  return bytes;
}

/** Removes what a stopped restore has left. If that fails, it takes up room and does no other harm. */
async function clear(mount: CacheMount, { context }: DaemonMounts): Promise<void> {
  const dockerfile = clearingDockerfile(mount, newKey());
  await runTransfer(context, { dockerfile, budget: budgetFor(0) }).catch((thrown: unknown) => {
    if (!(thrown instanceof TransferError)) throw thrown;
  });
}

/** A random key for content that is saved, or for a step that must not be cached. */
export function newKey(): string {
  return randomBytes(16).toString("hex");
}

/** Warns of something about cache mounts that went wrong, unless the build was stopped. */
export function warnOf(what: string, thrown: unknown, { step }: TransferContext): void {
  step.signal.throwIfAborted();
  const reason = messageOf(thrown).replaceAll(/\s+/g, " ").slice(0, 500);
  step.log.warn(`${what}: ${reason}`);
}
