import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { toolEnvironment } from "../../test/support/runs/test-step.ts";

/** What one run of some work took. */
export interface Cost {
  /** Wall time. */
  readonly seconds: number;
  /** User and system time of all its processes. */
  readonly cpuSeconds: number;
  /** Peak resident memory of its largest process, in MB of 1,000,000 bytes. */
  readonly rssMb: number;
}

export interface Contender {
  readonly name: string;
  /** Does the work once; what only prepares it or clears up after it is left out of the cost. */
  readonly run: () => Promise<Cost>;
}

export interface Result {
  readonly work: string;
  /** Wall time of ours over that of each peer, in the same rounds: the median. Under 1 is faster than the peer. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Quartiles of those ratios over the rounds. */
  readonly spread: Readonly<Record<string, readonly [number, number]>>;
  /** Medians of ours. */
  readonly seconds: number;
  readonly cpu_seconds: number;
  readonly rss_mb: number;
  /** Medians of the peers. */
  readonly peers: Readonly<Record<string, Medians>>;
}

type Medians = Pick<Result, "seconds" | "cpu_seconds" | "rss_mb">;

export interface TimedOptions {
  /** Text for stdin. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program to its good end, under GNU time(1). */
export async function timed(
  file: string,
  args: readonly string[],
  { input = "", env = {} }: TimedOptions = {},
): Promise<Cost & { readonly stdout: string }> {
  await using folder = await createPrivateFolder("bench-time");
  const report = join(folder.path, "report");
  const begun = performance.now();
  const { stdout } = await execa("time", ["--output", report, "--format", "%U %S %M", file, ...args], {
    input,
    env: toolEnvironment(env),
  });
  const seconds = (performance.now() - begun) / 1000;
  const [user = 0, system = 0, kibibytes = 0] = (await readFile(report, "utf8")).split(" ").map(Number);
  return { seconds, cpuSeconds: user + system, rssMb: (kibibytes * 1024) / 1e6, stdout };
}

/** What programs took that ran one after the other. */
export function inTurn(...costs: readonly Cost[]): Cost {
  return {
    seconds: costs.reduce((sum, { seconds }) => sum + seconds, 0),
    cpuSeconds: costs.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    rssMb: Math.max(...costs.map(({ rssMb }) => rssMb)),
  };
}

let isInterrupted = false;
// What is measured at that moment comes to its end, so that disks are unmounted and servers stopped.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => (isInterrupted = true));

/** Runs all contenders in turn, round by round, so that whatever disturbs the machine disturbs all of them. */
export async function compare(
  work: string,
  rounds: number,
  [ours, ...peers]: readonly [Contender, ...Contender[]],
): Promise<Result> {
  const costs = await inRounds(rounds, [ours, ...peers]);
  return resultOf(work, costs, ours, peers);
}

/** The same for several of ours, each against the same peer. */
export async function compareEach(
  work: string,
  rounds: number,
  contenders: { readonly ours: readonly Contender[]; readonly peer: Contender },
): Promise<Result[]> {
  const costs = await inRounds(rounds, [...contenders.ours, contenders.peer]);
  return contenders.ours.map((each) => resultOf(`${work}, ${each.name}`, costs, each, [contenders.peer]));
}

type Costs = ReadonlyMap<Contender, readonly Cost[]>;

async function inRounds(rounds: number, contenders: readonly Contender[]): Promise<Costs> {
  const costs = new Map<Contender, Cost[]>(contenders.map((contender) => [contender, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [contender, taken] of costs) {
      if (isInterrupted) throw new Error("interrupted");
      const cost = await contender.run();
      // The first round warms caches and counts for nothing.
      if (round >= 0) taken.push(cost);
    }
  }
  return costs;
}

function resultOf(work: string, costs: Costs, ours: Contender, peers: readonly Contender[]): Result {
  const own = costs.get(ours) ?? [];
  const ratios = peers.map((peer) => {
    const theirs = costs.get(peer) ?? [];
    return [peer.name, own.map((cost, round) => cost.seconds / (theirs[round]?.seconds ?? 0))] as const;
  });
  return {
    work,
    ratios: Object.fromEntries(ratios.map(([name, values]) => [name, quantile(values, 0.5)])),
    spread: Object.fromEntries(
      ratios.map(([name, values]) => [name, [quantile(values, 0.25), quantile(values, 0.75)] as const]),
    ),
    ...medians(own),
    peers: Object.fromEntries(peers.map((peer) => [peer.name, medians(costs.get(peer) ?? [])])),
  };
}

function medians(costs: readonly Cost[]): Medians {
  const median = (of: (cost: Cost) => number) => quantile(costs.map(of), 0.5);
  return {
    seconds: median(({ seconds }) => seconds),
    cpu_seconds: median(({ cpuSeconds }) => cpuSeconds),
    rss_mb: median(({ rssMb }) => rssMb),
  };
}

/** The value below which a share of the values lie, between two of them where that is nowhere, rounded to three places. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const [below = 0, above = below] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return Math.round((below + (above - below) * (place % 1)) * 1000) / 1000;
}
