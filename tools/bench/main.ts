import { parseArgs } from "node:util";
import { makeBundle } from "./bundle.ts";
import { benchCacheMounts, mountKinds } from "./cache-mounts.ts";
import { benchCheck } from "./check.ts";
import { benchContext } from "./context.ts";
import { benchGet, deliveredForms } from "./get.ts";
import { compressions, imageNames } from "./images.ts";
import { benchLaunchers, launcherWorks } from "./launchers.ts";
import { benchLinear, growingKinds } from "./linear.ts";
import { manyEntries } from "./many-entries.ts";
import type { Result } from "./measure.ts";
import { benchNodes } from "./nodes.ts";
import { benchPut } from "./put.ts";
import { benchRootfs } from "./rootfs.ts";
import { benchStore, storeKinds } from "./store.ts";
import { benchWhole } from "./whole.ts";

/**
 * `npm run bench [-- --json] [-- --only rootfs] [-- --rounds 3]`: wall times of ours as ratios to a peer's in the
 * same rounds. Under 1 is faster than the peer.
 */
const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    /** Benches whose name holds this text. */
    only: { type: "string", default: "" },
    rounds: { type: "string" },
  },
});

interface Bench {
  readonly name: string;
  readonly rounds: number;
  readonly run: (rounds: number) => Promise<Result | readonly Result[]>;
}

await using bundle = await makeBundle();
const benches: readonly Bench[] = [
  { name: "check", rounds: 20, run: (rounds) => benchCheck(bundle, rounds) },
  { name: "put", rounds: 15, run: (rounds) => benchPut(bundle, rounds) },
  { name: "context", rounds: 3, run: (rounds) => benchContext(bundle, rounds) },
  ...deliveredForms.flatMap((form) =>
    compressions.map((compression) => ({
      name: `get ${form} ${compression}`,
      rounds: 5,
      run: (rounds: number) => benchGet(bundle, { form, compression, rounds }),
    })),
  ),
  ...storeKinds.map((kind) => ({
    name: `store ${kind}`,
    rounds: 5,
    run: (rounds: number) => benchStore(bundle, { kind, rounds }),
  })),
  ...mountKinds.map((kind) => ({
    name: `cache mounts ${kind}`,
    rounds: 3,
    run: (rounds: number) => benchCacheMounts(bundle, { kind, rounds }),
  })),
  ...mountKinds.map((kind) => ({
    name: `cache mounts slowly ${kind}`,
    rounds: 3,
    run: (rounds: number) => benchCacheMounts(bundle, { kind, rounds, rate: 10e6 }),
  })),
  ...launcherWorks.map((work) => ({
    name: `launcher ${work}`,
    rounds: 5,
    run: (rounds: number) => benchLaunchers(work, rounds),
  })),
  ...growingKinds.map((kind) => ({
    name: `linear ${kind}`,
    rounds: 5,
    run: (rounds: number) => benchLinear(bundle, { kind, rounds }),
  })),
  { name: "nodes", rounds: 5, run: (rounds) => benchNodes(bundle, rounds) },
  ...compressions.map((compression) => ({
    name: `whole ${compression}`,
    rounds: 3,
    run: (rounds: number) => benchWhole(bundle, { compression, rounds }),
  })),
  ...imageNames.flatMap((image) =>
    compressions.map((compression) => ({
      name: `rootfs ${image} ${compression}`,
      rounds: 5,
      run: (rounds: number) => benchRootfs(bundle, { image, compression, rounds }),
    })),
  ),
  ...manyEntries.map((image) => ({
    name: `rootfs ${image}`,
    rounds: 2,
    run: (rounds: number) => benchRootfs(bundle, { image, compression: "gzip", rounds }),
  })),
];

const results: Result[] = [];
for (const { rounds, run } of benches.filter(({ name }) => name.includes(values.only))) {
  const found = [await run(values.rounds === undefined ? rounds : Number(values.rounds))].flat();
  results.push(...found);
  if (!values.json) for (const result of found) show(result);
}
if (values.json) console.log(JSON.stringify(results, undefined, 2));

function show(result: Result): void {
  console.log(result.work);
  showCost("ours", result);
  for (const [name, cost] of Object.entries(result.peers)) {
    const [low, high] = result.spread[name] ?? [];
    showCost(name, cost, `ours is ${result.ratios[name]} of it (${low} to ${high})`);
  }
}

function showCost(
  name: string,
  cost: Pick<Result, "seconds" | "cpu_seconds" | "rss_mb">,
  compared = "",
): void {
  const figures = [
    `${cost.seconds.toFixed(3).padStart(8)} s`,
    `${cost.cpu_seconds.toFixed(2).padStart(7)} s CPU`,
    `${cost.rss_mb.toFixed(0).padStart(5)} MB`,
  ];
  console.log(`  ${[name.padEnd(16), ...figures, compared].join("  ").trimEnd()}`);
}
