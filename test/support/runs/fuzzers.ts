import assert from "node:assert/strict";
import { UserError } from "../../../src/host/errors.ts";
import { hostileLayers } from "../images/hostile-layers.ts";
import { assertUnpackedAsByUmoci } from "../images/umoci.ts";
import { stackOf, unpack } from "../images/unpacking.ts";
import { readGoFixtures } from "../tar/go-fixtures.ts";
import { startGoReader } from "../tar/go-tar.ts";
import { mutatedTar } from "../tar/mutated-tar.ts";
import { assertReadAsByGo } from "../tar/tar-oracle.ts";
import { startAbortFuzzer } from "./abort-fuzzer.ts";
import { randomFrom } from "./random.ts";

/** Tries cases, each made from a seed alone; what doesn't hold is thrown. */
export interface Fuzzer extends AsyncDisposable {
  /** Answers whether the case was a whole archive or image, which all it holds was compared of. */
  try(seed: number): Promise<boolean>;
}

/** Our tar reader against Go's, on changed archives, cut anywhere. */
async function fuzzTar(): Promise<Fuzzer> {
  const archives = (await readGoFixtures()).map(({ archive }) => archive);
  const go = await startGoReader();
  return {
    try: (seed) => {
      const random = randomFrom(seed);
      const archive = mutatedTar(random, archives);
      const most = [1, 100, 600, 5000, 100_000][seed % 5] as number;
      const cuts: number[] = [];
      for (let at = 0; at < Math.min(archive.length, 20_000); at += 1 + Math.floor(random() * most))
        cuts.push(at);
      return assertReadAsByGo(go, archive, cuts);
    },
    [Symbol.asyncDispose]: () => go[Symbol.asyncDispose](),
  };
}

/** Unpacking of layers that mean harm: nothing outside is touched, and all errors are the image's author's. */
function fuzzUnpack(): Fuzzer {
  return {
    try: async (seed) => {
      const way = seed % 20 === 0 ? "in several threads" : "in one thread";
      await using unpacked = await unpack((outside) => hostileLayers(randomFrom(seed), outside), way);
      const { error } = unpacked;
      if (error === undefined) return true;
      assert.ok(error instanceof UserError, stackOf(error));
      return false;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Whole trees of valid images against umoci's. */
function fuzzTrees(): Fuzzer {
  return {
    try: async (seed) => {
      const isLarge = seed % 10 === 0;
      const size = isLarge ? { members: 200, longest: 150_000 } : { members: 60, longest: 3000 };
      await assertUnpackedAsByUmoci({ seed, layers: 1 + (seed % 6), ...size });
      return true;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** By the names that a person starts them with. */
export const fuzzers: Readonly<Record<string, () => Promise<Fuzzer> | Fuzzer>> = {
  tar: fuzzTar,
  unpack: fuzzUnpack,
  trees: fuzzTrees,
  aborts: startAbortFuzzer,
};
