import { lookup } from "node:dns/promises";
import { isIPv6 } from "node:net";
import * as z from "zod";
import { startChild } from "../../host/child.ts";
import { UserError } from "../../host/errors.ts";
import { mapAtOnce } from "../../host/map-at-once.ts";
import type { StepContext } from "../../host/step-context.ts";
import type { Platform } from "../../image/descriptor.ts";
import { formatPlatform, isSamePlatform } from "../../image/platform.ts";
import type { Engine } from "./engine.ts";
import { type OpenNodes, ranked } from "./nodes.ts";
import type { EnginePool, Share } from "./pool.ts";
import { daemonWorkers, type RemoteBuildKit, reachRemoteDaemon } from "./remote-daemon.ts";

/** All daemons behind one DNS name. */
export interface Farm {
  /** `tcp://name:port` */
  readonly remote: RemoteBuildKit;
  /** A daemon that already solves this many builds is used only if no less busy one is available. */
  readonly maxBuilds: number;
}

/** A daemon of a farm that has answered. */
export interface FarmDaemon {
  readonly engine: Engine;
  /**
   * The id of its worker, which is stored with the daemon's state. A daemon that restarts with the same disk keeps
   * it.
   */
  readonly worker: string;
  /** The machine's native platform comes first, then its variants and the emulated platforms. */
  readonly platforms: readonly Platform[];
}

/**
 * Resolves the name, and asks each daemon behind it for its worker and platforms.
 * @throws UserError if the name can't be resolved, or no daemon answers
 */
export async function openFarm(farm: Farm, options: OpenNodes): Promise<EnginePool> {
  const { step, subject } = options;
  const { daemons, close } = await askAll(farm, options);
  return {
    limited: undefined,
    async share(target, platforms) {
      const wanted = platforms.length > 0 ? platforms : [commonPlatform(daemons, farm)];
      const shares = await Promise.all(
        wanted.map(async (platform): Promise<Share> => {
          const able = ableDaemons(daemons, platform, { farm, step });
          const order = ranked(able, `${subject}\0${target}`, ({ worker }) => worker);
          const [first, ...next] = await byBuilds(order, farm.maxBuilds, (daemon) =>
            countBuilds(daemon, step),
          );
          if (first === undefined) throw new Error("an order has lost its daemons");
          const engines = [first.engine, ...next.map(({ engine }) => engine)] as const;
          return { platforms: platforms.length > 0 ? [platform] : [], engines };
        }),
      );
      const [first, ...others] = shares;
      if (first === undefined) throw new Error("there is always a platform");
      return [first, ...others];
    },
    [Symbol.asyncDispose]: close,
  };
}

/** How many daemons are asked at the same time. Each question is a process of its own. */
const atOnce = 8;
/** Milliseconds. It can be short: if one daemon is slow, others of the farm can build. */
const answerDeadline = 3_000;

async function askAll(farm: Farm, { step, workspace }: OpenNodes) {
  const addresses = await resolveAll(farm.remote);
  await using held = new AsyncDisposableStack();
  const limits = { limit: atOnce, signal: step.signal };
  const asked = await mapAtOnce(
    [...addresses.entries()],
    limits,
    async ([index, { address, serverName }]) => {
      const { tls } = farm.remote;
      const remote = { address, ...(tls === undefined ? {} : { tls: { serverName, ...tls } }) };
      const engine = held.use(await reachRemoteDaemon(remote, { step, workspace, name: `daemon-${index}` }));
      const [worker] = await daemonWorkers(engine, step, answerDeadline);
      return { engine, worker };
    },
  );
  const silent = asked.filter(({ worker }) => worker === undefined);
  const daemons = asked.flatMap(({ engine, worker }): FarmDaemon[] =>
    worker === undefined ? [] : [{ engine, worker: worker.id, platforms: worker.platforms }],
  );
  if (daemons.length === 0) {
    const words = await silent[0]?.engine.diagnose();
    const { address } = farm.remote;
    const found =
      silent.length === 1
        ? `the only address of ${address} can't be used`
        : `none of the ${silent.length} addresses of ${address} can be used`;
    throw new UserError(`${found}: ${words ?? "none answered in time"}`);
  }
  for (const { engine } of silent) step.log.warn(`${engine.where} doesn't answer; trying another`);
  const owned = held.move();
  return { daemons, close: () => owned.disposeAsync() };
}

/** Every address behind the name, and the name that the daemons' certificates are checked against. */
async function resolveAll({ address }: RemoteBuildKit) {
  const { hostname, port } = new URL(address.replace(/^tcp:/, "http:"));
  const serverName = hostname.replace(/^\[|\]$/g, "");
  const found = await lookup(serverName, { all: true }).catch((thrown: unknown) => {
    const reason = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "no answer";
    throw new UserError(
      `buildkit.address: the name ${serverName} can't be resolved (${reason}): check it, and that this worker's DNS knows it`,
    );
  });
  // A name server may return them in a different order each time.
  const addresses = [...new Set(found.map((one) => one.address))].toSorted();
  return addresses.map((ip) => ({
    address: `tcp://${isIPv6(ip) ? `[${ip}]` : ip}:${port || "80"}`,
    serverName,
  }));
}

/** The platform to build for if the author names none. All machines must then have the same one. */
function commonPlatform(daemons: readonly FarmDaemon[], { remote }: Farm): Platform {
  const natives = new Map(
    daemons.flatMap(({ platforms: [own] }) =>
      own === undefined ? [] : [[formatPlatform(own), own] as const],
    ),
  );
  const [first] = natives.values();
  if (first !== undefined && natives.size === 1) return first;
  throw new UserError(
    `the daemons behind ${remote.address} have different platforms (${[...natives.keys()].toSorted().join(", ")}): name those to build in the put's params, as in platforms: [${[...natives.keys()][0] ?? "linux/amd64"}]`,
  );
}

function ableDaemons(
  daemons: readonly FarmDaemon[],
  platform: Platform,
  { farm, step }: { readonly farm: Farm; readonly step: StepContext },
): readonly FarmDaemon[] {
  const native = daemons.filter(({ platforms: [own] }) => own !== undefined && isSamePlatform(own, platform));
  if (native.length > 0) return native;
  const emulating = daemons.filter(({ platforms }) => platforms.some((own) => isSamePlatform(own, platform)));
  const name = formatPlatform(platform);
  if (emulating.length === 0) {
    const offers = [...new Set(daemons.flatMap(({ platforms }) => platforms.map(formatPlatform)))].toSorted();
    throw new UserError(
      `none of the ${daemons.length} daemons behind ${farm.remote.address} builds for platform ${name}, natively or by emulation: they have ${offers.join(", ")}`,
    );
  }
  step.log.warn(`no daemon runs on platform ${name}: it is emulated (QEMU), which is slow`);
  return emulating;
}

/** How many daemons that can start at once are looked for. The second is needed if the first dies. */
const readyWanted = 2;

/**
 * Orders the daemons as they will be tried. The given order is that of warm caches; daemons that solve `maxBuilds`
 * or more come after the others, least busy first, and those that don't answer come last. Asks only as many daemons
 * as needed.
 * @param builds the number of builds that a daemon is solving; undefined if it doesn't answer
 */
export async function byBuilds<T>(
  order: readonly T[],
  maxBuilds: number,
  builds: (daemon: T) => Promise<number | undefined>,
): Promise<readonly T[]> {
  const ready: T[] = [];
  const busy: { readonly daemon: T; readonly count: number }[] = [];
  let asked = 0;
  while (asked < order.length && ready.length < readyWanted) {
    const batch = order.slice(asked, asked + readyWanted);
    asked += batch.length;
    const counts = await Promise.all(batch.map(builds));
    for (const [index, daemon] of batch.entries()) {
      const count = counts[index] ?? Number.POSITIVE_INFINITY;
      if (count < maxBuilds) ready.push(daemon);
      else busy.push({ daemon, count });
    }
  }
  // toSorted is stable.
  const waiting = busy.toSorted((a, b) => (a.count < b.count ? -1 : Number(a.count > b.count)));
  const unasked = order.slice(asked);
  return [...ready, ...unasked, ...waiting.map(({ daemon }) => daemon)];
}

/** An event of a daemon's history of builds. While a build is being solved, it has no time of completion. */
const HistoryEvent = z.object({ record: z.object({ CompletedAt: z.unknown() }).partial().optional() });

/** The number of builds that a daemon is solving, from its history (`buildctl debug histories`). */
async function countBuilds({ engine }: FarmDaemon, step: StepContext): Promise<number | undefined> {
  // Other formats need the templates that the image's buildctl is built without.
  const question = ["--timeout", "3", "debug", "histories", "--format", "{{json .}}"];
  const asked = await startChild(step, "buildctl", [...engine.connection, ...question], {
    reject: false,
    timeout: answerDeadline,
  });
  if (asked.exitCode !== 0) return undefined;
  const events = asked.stdout.split("\n").filter(Boolean);
  const records = events.map((event) => HistoryEvent.parse(JSON.parse(event)).record);
  return records.filter((record) => record !== undefined && record.CompletedAt === undefined).length;
}
