import assert from "node:assert/strict";
import { test } from "node:test";
import { makeSite } from "../support/runs/put-and-get.ts";
import { versionOf } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";

const [daemon] = await untilTestsEnd(startBuildkitd());

const long: Readonly<Record<string, string>> = {
  "one line of 40 MB": "head -c 40000000 /dev/zero | tr '\\0' a; echo",
  "a bar of 30 MB that is overwritten": "yes '12 %' | head -c 30000000 | tr '\\n' '\\r'; echo",
  "a line of 300 kB that looks like the beginnings of URLs": "yes a+ | head -c 300000 | tr -d '\\n'; echo",
};
for (const [what, command] of Object.entries(long)) {
  for (const progress of ["steps", "plain"]) {
    test(`a RUN that writes ${what} is shown by its beginning, in little time (progress: ${progress})`, async () => {
      await using own = await makeSite(`RUN : ${progress}; ${command}\n`);
      const run = await own.put({ progress }, { buildkit: { address: daemon.address } });
      versionOf(run);
      assert.ok(run.milliseconds < 60_000, `${run.milliseconds} ms`);
      assert.ok(run.stderr.length < 200_000, `${run.stderr.length} characters`);
    });
  }
}
