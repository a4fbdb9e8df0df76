import assert from "node:assert/strict";
import { test } from "node:test";
import { assertUnpackedAsByBuildkit } from "../support/images/buildkit-export.ts";
import { assertUnpackedAsByUmoci } from "../support/images/umoci.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";

test("generated stacks of small layers unpack as umoci unpacks them", async () => {
  let entries = 0;
  for (let seed = 1; seed <= 16; seed++) {
    entries += await assertUnpackedAsByUmoci({ seed, layers: 4, members: 60, longest: 3000 });
  }
  assert.ok(entries > 1000, `${entries} entries`);
});

test("generated stacks of layers large enough for threads unpack as umoci unpacks them", async () => {
  for (let seed = 101; seed <= 104; seed++) {
    await assertUnpackedAsByUmoci({ seed, layers: 4, members: 200, longest: 150_000 });
  }
});

test("generated stacks of layers unpack to what BuildKit exports of them", async () => {
  await using daemon = await startBuildkitd({ snapshotter: "native" });
  let entries = 0;
  for (let seed = 201; seed <= 206; seed++) {
    entries += await assertUnpackedAsByBuildkit(daemon, { seed, layers: 4, members: 60, longest: 3000 });
  }
  assert.ok(entries > 400, `${entries} entries`);
  await assertUnpackedAsByBuildkit(daemon, { seed: 207, layers: 4, members: 200, longest: 150_000 });
});
