import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { pruneCache } from "../../../src/builder/engine/prune.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { startBuildkitd } from "../../support/buildkit.ts";
import { createTestHost } from "../../support/host.ts";

test("pruning leaves a cache within its limit alone, and shrinks one that is over it", async () => {
  await using folder = await createPrivateFolder("test-prune");
  await using daemon = await startBuildkitd();
  const host = createTestHost();
  const connection = ["--addr", daemon.address];
  await mkdir(join(folder.path, "app"));
  await writeFile(join(folder.path, "app/data"), Buffer.alloc(3_000_000));
  await writeFile(join(folder.path, "app/Dockerfile"), "FROM scratch\nCOPY data /data\n");
  const local = ["context", "dockerfile"].map((name) => `--local=${name}=${join(folder.path, "app")}`);
  const env = host.env as Record<string, string>;
  await execa("buildctl", [...connection, "build", "--frontend=dockerfile.v0", ...local], {
    env,
    stdin: "ignore",
  });
  const used = async (): Promise<number> => {
    const { stdout } = await execa("buildctl", [...connection, "du", "--format", "{{json .}}"], { env });
    const records = stdout
      .split("\n")
      .filter(Boolean)
      .flatMap((line) => (JSON.parse(line) as { size: number }[] | null) ?? []);
    return records.reduce((sum, { size }) => sum + size, 0);
  };
  const before = await used();
  assert.ok(before > 3_000_000, String(before));
  await pruneCache({ connection }, 1e9, host);
  assert.equal(await used(), before);
  await pruneCache({ connection }, 1e6, host);
  assert.ok((await used()) < 1e6);
  assert.equal(host.logged(), "");
});

test("a cache that can't be pruned is a warning", async () => {
  const host = createTestHost();
  await pruneCache({ connection: ["--addr", "tcp://127.0.0.1:1"] }, 1e9, host);
  assert.match(host.logged(), /^warning: the cache could not be pruned: .*connection refused/);
});
