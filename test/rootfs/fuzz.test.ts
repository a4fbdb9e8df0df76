import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzzers } from "../support/runs/fuzzers.ts";

/** Tries as many cases; answers how many of them were whole. */
async function tryCases(name: string, cases: number): Promise<number> {
  await using fuzzer = await (fuzzers[name] ?? assert.fail(`no fuzzer ${name}`))();
  let whole = 0;
  for (let seed = 1; seed <= cases; seed++) {
    try {
      if (await fuzzer.try(seed)) whole++;
    } catch (cause) {
      throw new Error(`npm run fuzz -- ${name} --seed ${seed} --cases 1`, { cause });
    }
  }
  return whole;
}

test("changed archives are read as Go's reader reads them, however they are cut", async () => {
  const whole = await tryCases("tar", 2000);
  assert.ok(whole > 400 && whole < 1600, `${whole} whole`);
});

test("layers that mean harm touch nothing outside of the root, and are refused in words for their author", async () => {
  const whole = await tryCases("unpack", 200);
  assert.ok(whole > 40 && whole < 160, `${whole} whole`);
});
