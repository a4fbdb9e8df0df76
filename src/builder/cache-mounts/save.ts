import { sum } from "../../host/sum.ts";
import { type CacheLocation, defaultMounts } from "../plan/layer-cache.ts";
import type { RanStep } from "../progress/followed-solve.ts";
import { budgetFor } from "./disk-guard.ts";
import { type CacheMount, mountKey, shownId } from "./mount-flags.ts";
import {
  type Balance,
  balanceOf,
  type MountGroup,
  type MountsTrial,
  type Payoff,
  pausedUntil,
  remember,
} from "./payoff.ts";
import { mountsPlace, replaceContent } from "./place.ts";
import { type DaemonMounts, newKey, type RestoredMounts, type SavedAt, warnOf } from "./restore.ts";
import { findSaved, formatSavedList, limitProblem, type SavedMount, withinLimit } from "./saved-list.ts";
import { runTransfer } from "./transfer.ts";
import { indexSecret, indexStage, measuringDockerfile, savingDockerfile } from "./transfer-dockerfile.ts";

/** What a build has shown by the time when its mounts are saved. */
export interface BuildWithMounts {
  readonly before: RestoredMounts;
  /** The steps that were run and use cache mounts. */
  readonly ran: readonly RanStep[];
}

export interface SavedReport {
  readonly saved: number;
  readonly bytes: number;
  /** Undefined if nothing was restored, or the steps' times with empty mounts are not known. */
  readonly balance: Balance | undefined;
  /** The time until which the mounts are paused from this build on, in milliseconds since 1970. */
  readonly pausedUntil: number | undefined;
}

export const nothingSaved: SavedReport = { saved: 0, bytes: 0, balance: undefined, pausedUntil: undefined };

/**
 * Saves the mounts whose content the build has changed, unless copying them takes longer than it saves. If two builds
 * save at the same time, each writes its own list with all of its content, and the last one wins.
 */
export async function saveMounts(daemon: DaemonMounts, build: BuildWithMounts): Promise<SavedReport> {
  const { context } = daemon;
  const { before } = build;
  const active = before.lists.filter((at) => at.pausedUntil === undefined);
  if (active.length === 0) return nothingSaved;
  try {
    const isSaving = active.some(({ location }) => location.mounts?.save === true);
    const measured = isSaving ? await measure(daemon, before) : [];
    const reports: SavedReport[] = [];
    for (const at of active) reports.push(await saveAt(daemon, build, { at, measured }));
    const balances = reports.flatMap(({ balance }) => balance ?? []);
    const pauses = reports.flatMap((report) => report.pausedUntil ?? []);
    return {
      saved: Math.max(...reports.map(({ saved }) => saved)),
      bytes: Math.max(...reports.map(({ bytes }) => bytes)),
      balance: balances[0],
      pausedUntil: pauses[0],
    };
  } catch (thrown) {
    warnOf("cache mounts not saved", thrown, context);
    return nothingSaved;
  }
}

interface Measured {
  readonly mount: CacheMount;
  readonly fingerprint: string;
  readonly bytes: number;
  readonly entries: number;
  /** The key of the content that the mount has, but for small changes. */
  readonly like: string | undefined;
}

/**
 * Content is saved again when a fiftieth of its bytes has changed: package managers write a log or a time stamp in
 * every run, and copying everything for that takes longer than it saves.
 */
const smallChange = 1 / 50;

async function measure(
  { context, mounts, locations }: DaemonMounts,
  { restored }: RestoredMounts,
): Promise<readonly Measured[]> {
  const begun = mounts.map((mount) => ({ mount, restored: restored.get(mountKey(mount))?.saved }));
  const limit = Math.max(...locations.map((location) => location.mounts?.limit ?? 0));
  const { reports } = await runTransfer(context, {
    dockerfile: measuringDockerfile(begun, { limit, nonce: newKey() }),
    budget: savingBudget(locations),
    imports:
      restored.size === 0
        ? []
        : locations.map((location) => mountsPlace(location, context.namespace).imports),
  });
  return reports.flatMap(([index, ...words]) => {
    const { mount, restored: saved } = begun[Number(index)] ?? {};
    const [bytes = 0, files = 0, entries = 0] = words.slice(0, 3).map(Number);
    const [, readable, fingerprint = noFingerprint, changed] = words.slice(3);
    if (mount === undefined) return [];
    if (readable === "cut") {
      context.step.log.warn(
        `cache mount ${shownId(mount)} not saved: it has folders that can't be read, or paths of more than 4 kB`,
      );
      return [];
    }
    if (files === 0) return [];
    const isLike =
      saved !== undefined &&
      changed !== undefined &&
      Math.max(Number(changed), Math.abs(bytes - saved.bytes)) < bytes * smallChange;
    return [{ mount, fingerprint, bytes, entries, like: isLike ? saved.key : undefined }];
  });
}

/** Stands for the fingerprint of content that is over the limit, and never saved. */
const noFingerprint = "";

/** While mounts are saved, the build's result is exported. */
function savingBudget(locations: readonly CacheLocation[]) {
  const limits = locations.map(({ mounts }) => mounts?.limit ?? 0);
  return budgetFor(Math.max(...limits), { ignoresBlobs: true });
}

async function saveAt(
  daemon: DaemonMounts,
  build: BuildWithMounts,
  { at, measured }: { readonly at: SavedAt; readonly measured: readonly Measured[] },
): Promise<SavedReport> {
  const { before } = build;
  const { location, list } = at;
  const now = Date.now();
  const known = list.mounts.filter(({ key }) => !before.lost.has(key));
  const present = measured.map(({ like, ...found }): SavedMount => {
    const saved = findSaved(known, found.mount);
    const isSame = saved !== undefined && (saved.fingerprint === found.fingerprint || saved.key === like);
    return isSame ? { ...saved, used: now } : { ...found, key: newKey(), used: now };
  });
  const isNew = ({ key }: SavedMount) => !known.some((saved) => saved.key === key);
  const settings = { ...defaultMounts, save: false, ...location.mounts };
  const { save, always, limit } = settings;
  const isFresh = (saved: SavedMount) => isNew(saved) && limitProblem(saved, settings) === undefined;
  const trial = trialOf(daemon, build, save ? present.filter(isFresh) : []);
  const balance = balanceOf(list.payoff, trial);
  if (!save) return { ...nothingSaved, balance };
  const payoff = remember(list.payoff, trial, now);
  const paused = always ? undefined : pausedUntil(payoff, daemon, now);
  const fresh = paused === undefined ? present.filter(isNew) : [];
  if (fresh.length === 0 && !isDecision(list.payoff, payoff)) return { ...nothingSaved, balance };
  // Saved mounts that this build doesn't use, or left empty, are kept as they are.
  const others = known.filter(({ mount }) => findSaved(present, mount) === undefined);
  const { kept, dropped } = withinLimit(paused === undefined ? [...present, ...others] : others, limit);
  for (const large of dropped) {
    const problem = limitProblem(large, settings);
    if (problem !== undefined)
      daemon.context.step.log.warn(`cache mount ${shownId(large.mount)} not saved: ${problem}`);
  }
  await write(daemon, at, { mounts: kept, payoff });
  const saved = kept.filter(isNew);
  return { saved: saved.length, bytes: sum(saved.map(({ bytes }) => bytes)), balance, pausedUntil: paused };
}

function trialOf(
  { mounts, instructions }: MountGroup,
  { before, ran }: BuildWithMounts,
  fresh: readonly SavedMount[],
): MountsTrial {
  const restored = sum([...before.restored.values()].map(({ bytes }) => bytes));
  const toSave = sum(fresh.map(({ bytes }) => bytes));
  return {
    mounts,
    instructions,
    wereRestored: before.lost.size > 0 ? undefined : before.restored.size > 0,
    ran,
    restoring: before.seconds,
    savedShare: restored === 0 ? 0 : toSave / restored,
  };
}

/** Whether a list has to be written for what it remembers, even if no content is saved. */
function isDecision(before: Payoff, after: Payoff): boolean {
  return decisionsOf(before) !== decisionsOf(after);
}

function decisionsOf({ groups }: Payoff): string {
  const decided = groups.filter(({ losses, pausedUntil: until }) => losses > 0 || until > 0);
  return JSON.stringify(
    decided.map(({ group, losses, pausedUntil: until }) => `${group} ${losses} ${until}`).toSorted(),
  );
}

async function write(
  { context }: DaemonMounts,
  { location, list: before }: SavedAt,
  list: SavedAt["list"],
): Promise<void> {
  const place = mountsPlace(location, context.namespace);
  await replaceContent(place, (exports) =>
    runTransfer(context, {
      dockerfile: savingDockerfile(list.mounts, place.id),
      budget: savingBudget([location]),
      imports: before.mounts.length > 0 ? [place.imports] : [],
      exports: [exports],
      anew: indexStage,
      secret: { id: indexSecret, text: formatSavedList(list) },
    }),
  );
}
