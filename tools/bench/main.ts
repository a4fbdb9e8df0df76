import { benchCheck } from "./check.ts";
import type { Result } from "./measure.ts";
import { benchPut } from "./put.ts";

/**
 * `npm run bench [-- --json]`: times of ours as ratios to a peer's in the same run. Under 1 is faster than the peer.
 */
const asJson = process.argv.includes("--json");

const results: Result[] = [];
for (const bench of [() => benchCheck(20), () => benchPut(15)]) {
  const result = await bench();
  results.push(result);
  if (!asJson) show(result);
}
if (asJson) console.log(JSON.stringify(results, undefined, 2));

function show({ work, ratios, spread, seconds }: Result): void {
  console.log(work);
  for (const [name, median] of Object.entries(seconds)) {
    const ratio = ratios[name];
    const [low, high] = spread[name] ?? [];
    const compared = ratio === undefined ? "" : `  ours is ${ratio} of it (${low} to ${high})`;
    console.log(`  ${name.padEnd(16)} ${(median * 1000).toFixed(0).padStart(6)} ms${compared}`);
  }
}
