import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFrom } from "../../support/runs/random.ts";
import { readGoFixtures } from "../../support/tar/go-fixtures.ts";
import { readByOurs, startGoReader } from "../../support/tar/go-tar.ts";

const fixtures = await readGoFixtures();

test("Go's own archives are read as by Go's reader: the same members, or an error where Go has one", async () => {
  assert.ok(fixtures.length >= 40, `only ${fixtures.length} archives found`);
  await using go = await startGoReader();
  const counted = { members: 0, errors: 0 };
  for (const { name, archive } of fixtures) {
    const expected = await go.read(archive);
    const found = readByOurs(archive);
    assert.equal(
      found.error === undefined,
      expected.error === undefined,
      `${name}: ${found.error} / ${expected.error}`,
    );
    assert.deepEqual(found.members, expected.members, name);
    counted.members += expected.members.length;
    counted.errors += expected.error === undefined ? 0 : 1;
  }
  assert.ok(counted.members >= 60 && counted.errors >= 8, JSON.stringify(counted));
});

test("how an archive is cut into chunks makes no difference", () => {
  const random = randomFrom(3);
  for (const { name, archive } of fixtures) {
    const whole = readByOurs(archive);
    for (let round = 0; round < 8; round++) {
      const cuts: number[] = [];
      const most = [2, 100, 513, 5000][round % 4] as number;
      for (let at = 0; at < Math.min(archive.length, 100_000); at += 1 + Math.floor(random() * most))
        cuts.push(at);
      assert.deepEqual(readByOurs(archive, cuts), whole, `${name}, cut in ${cuts.length}`);
    }
  }
});
