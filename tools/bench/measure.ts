/** Times of one contender, in seconds, in the order they were taken. */
export interface Contender {
  readonly name: string;
  /** Does the work once. */
  readonly run: () => Promise<void>;
}

export interface Result {
  readonly work: string;
  /** Median of ours over that of each peer, taken in the same rounds. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Quartiles of those ratios over the rounds. */
  readonly spread: Readonly<Record<string, readonly [number, number]>>;
  /** Medians, by contender. */
  readonly seconds: Readonly<Record<string, number>>;
}

/** Runs all contenders in turn, round by round, so that whatever disturbs the machine disturbs all of them. */
export async function compare(
  work: string,
  rounds: number,
  [ours, ...peers]: readonly [Contender, ...Contender[]],
): Promise<Result> {
  const times = new Map<string, number[]>([ours, ...peers].map(({ name }) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const { name, run } of [ours, ...peers]) {
      const begun = performance.now();
      await run();
      // The first round warms caches and counts for nothing.
      if (round >= 0) times.get(name)?.push((performance.now() - begun) / 1000);
    }
  }
  const own = times.get(ours.name) ?? [];
  const ratiosOf = (name: string) => (times.get(name) ?? []).map((time, round) => (own[round] ?? 0) / time);
  const entries = peers.map(({ name }) => [name, ratiosOf(name)] as const);
  return {
    work,
    ratios: Object.fromEntries(entries.map(([name, ratios]) => [name, quantile(ratios, 0.5)])),
    spread: Object.fromEntries(
      entries.map(([name, ratios]) => [name, [quantile(ratios, 0.25), quantile(ratios, 0.75)] as const]),
    ),
    seconds: Object.fromEntries(Array.from(times, ([name, values]) => [name, quantile(values, 0.5)])),
  };
}

/** The value below which a share of the values lie, rounded to three places. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) * 1000) / 1000;
}
