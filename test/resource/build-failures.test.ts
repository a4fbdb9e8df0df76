import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { shell } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { type BuildkitDaemon, startBuildkitd } from "../support/servers/buildkit.ts";

let daemon: BuildkitDaemon;

before(async () => {
  daemon = await startBuildkitd();
});
after(() => daemon[Symbol.asyncDispose]());

const missing: Readonly<Record<string, string>> = {
  "a COPY": "FROM scratch\nCOPY missing.txt /\n",
  "an ADD": "FROM scratch\nADD missing.txt /\n",
  "a COPY from a stage": `${shell}FROM scratch\nCOPY --from=shell /missing.txt /\n`,
  "a COPY through links in a circle": `${shell}RUN ln -s b /a; ln -s a /b\nFROM scratch\nCOPY --from=shell /a/x /\n`,
  "a COPY of a path under a file": `${shell}FROM scratch\nCOPY --from=shell /bin/busybox/x /\n`,
  "a bind mount": `${shell}RUN --mount=type=bind,source=missing.txt,target=/m cat /m\n`,
  "a bind mount from a stage": `${shell}FROM shell\nRUN --mount=type=bind,from=shell,source=/missing.txt,target=/m cat /m\n`,
};
for (const [what, dockerfile] of Object.entries(missing)) {
  test(`${what} of what isn't there is told once, whatever layer cache there is`, async () => {
    await using folder = await createPrivateFolder("test-failures");
    const run = await smallPut({
      source: {
        directory: join(folder.path, "builds"),
        buildkit: { address: daemon.address },
        cache: { type: "local", directory: join(folder.path, "cache") },
      },
      dockerfile,
      files: { "app/busybox": await readFile("/bin/busybox") },
    });
    assertFailedCleanly(run, /error: /);
    assert.doesNotMatch(run.stderr, /The layer cache may be damaged|layer cache not used/);
    assert.equal(run.stderr.match(/^>>>|^\s*\d+ \| >>>/gm)?.length ?? 0, 1);
  });
}
