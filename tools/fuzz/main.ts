import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { fuzzers } from "../../test/support/runs/fuzzers.ts";

/**
 * `npm run fuzz -- [tar | unpack | trees | aborts] [--minutes 10] [--seed 1] [--cases 1000]`: tries cases, one seed after the
 * other, until one fails, or the time is over. A case that takes over a minute has failed.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() % 1e9) },
    cases: { type: "string", default: "Infinity" },
  },
});
const names = positionals.length === 0 ? Object.keys(fuzzers) : positionals;
const minutes = Number(values.minutes);
const first = Number(values.seed);

/** The seed at hand, where another thread sees it although this one is busy. */
const current = new Int32Array(new SharedArrayBuffer(4));
const watchdog = new Worker(new URL("./watchdog.ts", import.meta.url), { workerData: current });
watchdog.unref();

for (const name of names) {
  const start = fuzzers[name];
  if (start === undefined)
    throw new Error(`expected one of ${Object.keys(fuzzers).join(", ")}; found ${name}`);
  await using fuzzer = await start();
  const end = performance.now() + minutes * 60_000;
  let whole = 0;
  let tried = 0;
  for (; tried < Number(values.cases) && performance.now() < end; tried++) {
    const seed = first + tried;
    Atomics.store(current, 0, seed);
    try {
      if (await fuzzer.try(seed)) whole++;
    } catch (cause) {
      throw new Error(`npm run fuzz -- ${name} --seed ${seed} --cases 1`, { cause });
    }
  }
  console.log(`${name}: ${tried} cases from seed ${first}, ${whole} of them whole, none failed`);
}
