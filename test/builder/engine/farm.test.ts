import assert from "node:assert/strict";
import { test } from "node:test";
import { byBuilds } from "../../../src/builder/engine/farm.ts";
import { ranked } from "../../../src/builder/engine/nodes.ts";

/** Daemons by the ids of their workers. */
const farmOf = (size: number): string[] => Array.from({ length: size }, (_, index) => `worker ${index}`);
const images = Array.from({ length: 200 }, (_, index) => `registry.example/team/app-${index}\0`);

const orderOf = (daemons: readonly string[], image: string) => ranked(daemons, image, (worker) => worker);

/** Where each image is built when nothing else is under way. */
function placesOf(daemons: readonly string[]): ReadonlyMap<string, string | undefined> {
  return new Map(images.map((image) => [image, orderOf(daemons, image)[0]]));
}

function movedBetween(one: readonly string[], other: readonly string[]): number {
  const [before, after] = [placesOf(one), placesOf(other)];
  return images.filter((image) => before.get(image) !== after.get(image)).length;
}

test("when one of forty daemons comes or goes only the images that are its own move", (t) => {
  const farm = farmOf(40);
  const places = placesOf(farm);
  for (const gone of farm) {
    const own = [...places.values()].filter((place) => place === gone).length;
    const rest = farm.filter((daemon) => daemon !== gone);
    assert.equal(movedBetween(farm, rest), own);
    assert.equal(movedBetween(rest, farm), own);
  }
  for (const size of [2, 3, 5, 10, 20, 40]) {
    const some = farmOf(size);
    const counts = Map.groupBy(placesOf(some).values(), (place) => place);
    const loads = some.map((worker) => counts.get(worker)?.length ?? 0);
    const moved = movedBetween(some, farmOf(size + 1));
    t.diagnostic(
      `${size} daemons: ${Math.min(...loads)} to ${Math.max(...loads)} of 200 images each; one more moves ${moved}, 1/N would be ${(200 / (size + 1)).toFixed(1)}`,
    );
    // Three standard deviations of a binomial distribution.
    const share = 1 / (size + 1);
    assert.ok(Math.abs(moved - 200 * share) <= 3 * Math.sqrt(200 * share * (1 - share)));
  }
});

test("a busy daemon is passed over for the next in the image's own order, and evens out what the order doesn't", async (t) => {
  const farm = farmOf(40);
  for (const maxBuilds of [1000, 8, 6]) {
    const building = new Map<string, number>(farm.map((daemon) => [daemon, 0]));
    let passed = 0;
    let asked = 0;
    for (const image of images) {
      const order = orderOf(farm, image);
      const [chosen] = await byBuilds(order, maxBuilds, async (daemon) => {
        asked++;
        return building.get(daemon);
      });
      assert.ok(chosen !== undefined);
      if (chosen !== order[0]) passed++;
      building.set(chosen, (building.get(chosen) ?? 0) + 1);
    }
    const loads = [...building.values()];
    t.diagnostic(
      `200 builds at once on 40 daemons, max_builds ${maxBuilds}: ${Math.min(...loads)} to ${Math.max(...loads)} each, ${passed} not at their first place, ${(asked / 200).toFixed(1)} daemons asked each`,
    );
    assert.ok(Math.max(...loads) <= maxBuilds);
  }
});

test("where all are busy the least busy comes first, and one that doesn't tell comes last", async () => {
  const counts = new Map([
    ["a", 9],
    ["b", 4],
    ["c", undefined],
    ["d", 4],
    ["e", 5],
  ]);
  const builds = async (daemon: string) => counts.get(daemon);
  assert.deepEqual(await byBuilds(["a", "b", "c", "d", "e"], 4, builds), ["b", "d", "e", "a", "c"]);
  assert.deepEqual(await byBuilds(["a", "b", "c", "d", "e"], 5, builds), ["b", "d", "e", "a", "c"]);
  assert.deepEqual(await byBuilds(["a", "b", "c"], 10, builds), ["a", "b", "c"]);
});
