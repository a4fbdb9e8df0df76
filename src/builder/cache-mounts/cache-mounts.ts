import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { formatBytes } from "../../host/format.ts";
import { createPrivateFolder } from "../../host/private-folder.ts";
import { sum } from "../../host/sum.ts";
import type { CacheLocation } from "../plan/layer-cache.ts";
import { type CacheMount, mountKey } from "./find-mounts.ts";
import { mountsPlace, replaceContent } from "./place.ts";
import { findSaved, formatSavedList, parseSavedList, type SavedMount, withinLimit } from "./saved-list.ts";
import { runTransfer, type TransferContext, TransferError } from "./transfer.ts";
import {
  indexDockerfile,
  indexSecret,
  indexStage,
  measuringDockerfile,
  restoringDockerfile,
  savingDockerfile,
} from "./transfer-dockerfile.ts";

/** The cache mounts of one daemon during one build. */
export interface DaemonMounts {
  readonly context: TransferContext;
  readonly mounts: readonly CacheMount[];
  readonly locations: readonly CacheLocation[];
}

interface SavedAt {
  readonly location: CacheLocation;
  readonly list: readonly SavedMount[];
}

/** What the caches had before the build. */
export interface RestoredMounts {
  readonly lists: readonly SavedAt[];
  /** Bytes of each mount that was restored, by {@link mountKey}. */
  readonly restored: ReadonlyMap<string, number>;
  /** Keys of content that couldn't be restored. */
  readonly lost: ReadonlySet<string>;
}

/**
 * Restores saved content into the mounts. Content that is damaged or missing is skipped with a warning, and the
 * build fills that mount again.
 */
export async function restoreMounts(daemon: DaemonMounts): Promise<RestoredMounts> {
  const { context, mounts } = daemon;
  const lists = await Promise.all(daemon.locations.map((location) => readList(location, daemon)));
  const restored = new Map<string, number>();
  const lost = new Set<string>();
  await Promise.all(
    mounts.map(async (mount) => {
      for (const { location, list } of lists) {
        const saved = location.mounts?.restore === true ? findSaved(list, mount) : undefined;
        if (saved === undefined) continue;
        try {
          const bytes = await restore(saved, location, daemon);
          restored.set(mountKey(mount), bytes);
          return;
        } catch (thrown) {
          warnOf(`cache mount ${mount.id} not restored`, thrown, context);
          lost.add(saved.key);
        }
      }
    }),
  );
  return { lists, restored, lost };
}

/**
 * Reads the list of what a location has saved. If it can't be read, nothing is restored, and the next list that is
 * saved replaces it.
 */
async function readList(location: CacheLocation, { context }: DaemonMounts): Promise<SavedAt> {
  const place = mountsPlace(location, context.namespace);
  await using folder = await createPrivateFolder("list", context.workspace);
  try {
    const { isImported } = await runTransfer(context, {
      dockerfile: indexDockerfile(place.id),
      imports: [place.imports],
      output: folder.path,
    });
    const text = await readFile(join(folder.path, "index"), "utf8");
    // If BuildKit can't read the cached result of the step, it runs the step again, which then writes an empty
    // list.
    if (text === "" && isImported)
      throw new TransferError("the cache is damaged, or not one of cache mounts");
    return { location, list: parseSavedList(text) };
  } catch (thrown) {
    warnOf("saved cache mounts not used: their list can't be read", thrown, context);
    return { location, list: [] };
  }
}

/** @returns the restored bytes */
async function restore(
  saved: SavedMount,
  location: CacheLocation,
  { context }: DaemonMounts,
): Promise<number> {
  const place = mountsPlace(location, context.namespace);
  const { reports } = await runTransfer(context, {
    dockerfile: restoringDockerfile(saved, newKey()),
    imports: [place.imports],
  });
  const [bytes = 0, files = 0] = reports[0]?.map(Number) ?? [];
  // The step that copied the content wasn't found in the cache, so it was run again, on the empty mount.
  if (files === 0 && saved.bytes > 0) throw new TransferError("the cache no longer has its content");
  return bytes;
}

/**
 * Saves the mounts whose content the build has changed. If two builds save at the same time, each writes its own
 * list with all of its content, and the last one wins.
 */
export async function saveMounts(daemon: DaemonMounts, before: RestoredMounts): Promise<SavedReport> {
  const { context, locations } = daemon;
  const report = { saved: 0, bytes: 0 };
  const writable = locations.filter(({ mounts }) => mounts?.save === true);
  if (writable.length === 0 || daemon.mounts.length === 0) return report;
  try {
    const measured = await measure(daemon);
    for (const location of writable) {
      const known = before.lists.find((saved) => saved.location === location)?.list ?? [];
      const list = known.filter(({ key }) => !before.lost.has(key));
      const written = await save(daemon, { location, list, measured });
      report.saved = Math.max(report.saved, written.saved);
      report.bytes = Math.max(report.bytes, written.bytes);
    }
  } catch (thrown) {
    warnOf("cache mounts not saved", thrown, context);
  }
  return report;
}

export interface SavedReport {
  readonly saved: number;
  readonly bytes: number;
}

interface Measured {
  readonly mount: CacheMount;
  readonly fingerprint: string;
  readonly bytes: number;
}

async function measure({ context, mounts }: DaemonMounts): Promise<readonly Measured[]> {
  const { reports } = await runTransfer(context, { dockerfile: measuringDockerfile(mounts, newKey()) });
  return reports.flatMap(([index, fingerprint, bytes, files]) => {
    const mount = mounts[Number(index)];
    if (mount === undefined || fingerprint === undefined || Number(files) === 0) return [];
    return [{ mount, fingerprint, bytes: Number(bytes) }];
  });
}

async function save(
  daemon: DaemonMounts,
  { location, list, measured }: SavedAt & { readonly measured: readonly Measured[] },
): Promise<SavedReport> {
  const { context } = daemon;
  const now = Date.now();
  const present = measured.map((found): SavedMount => {
    const known = findSaved(list, found.mount);
    const isSame = known?.fingerprint === found.fingerprint;
    return isSame ? { ...known, used: now } : { ...found, key: newKey(), used: now };
  });
  const isNew = ({ key }: SavedMount) => !list.some((known) => known.key === key);
  if (!present.some(isNew)) return { saved: 0, bytes: 0 };
  // Saved mounts that this build doesn't use, or left empty, are kept as they are.
  const others = list.filter(({ mount }) => findSaved(present, mount) === undefined);
  const limit = location.mounts?.limit ?? 0;
  const { kept, dropped } = withinLimit([...present, ...others], limit);
  for (const large of dropped.filter(({ bytes }) => bytes > limit))
    context.step.log.warn(
      `cache mount ${large.mount.id} not saved: its ${formatBytes(large.bytes)} are more than cache.mounts.limit, ${formatBytes(limit)}`,
    );
  const place = mountsPlace(location, context.namespace);
  await replaceContent(place, (exports) =>
    runTransfer(context, {
      dockerfile: savingDockerfile(kept, place.id),
      imports: list.length > 0 ? [place.imports] : [],
      exports: [exports],
      anew: indexStage,
      secret: { id: indexSecret, text: formatSavedList(kept) },
    }),
  );
  const fresh = kept.filter(isNew);
  return { saved: fresh.length, bytes: sum(fresh.map(({ bytes }) => bytes)) };
}

function newKey(): string {
  return randomBytes(16).toString("hex");
}

function warnOf(what: string, thrown: unknown, { step }: TransferContext): undefined {
  step.signal.throwIfAborted();
  const reason =
    thrown instanceof Error ? thrown.message.replaceAll(/\s+/g, " ").slice(0, 500) : String(thrown);
  step.log.warn(`${what}: ${reason}`);
}
