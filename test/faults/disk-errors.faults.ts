import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { makeSite } from "../support/runs/put-and-get.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { injecting } from "../support/runs/strace.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";

const [daemon, site] = await untilTestsEnd(startBuildkitd(), makeSite(""));

const params = { dockerfile_inline: "FROM scratch\nCOPY noise /noise\nCOPY Dockerfile /\n" };
const put = (under: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  site.put(params, { buildkit: { address: daemon.address } }, { under, env });

await writeFile(join(site.inputs, "app/noise"), randomBytes(randomFrom(5), 1 << 20));
const { version } = versionOf(await put([]));

interface Faulty {
  readonly run: Run;
  /** What it delivered. */
  readonly names: readonly string[];
}

/** A get into a new folder, by one thread for all of Node's file calls, since strace counts calls by thread. */
async function get(under: readonly string[], asked: Readonly<Record<string, unknown>>): Promise<Faulty> {
  const to = join(site.folder, `get-${crypto.randomUUID()}`);
  await mkdir(to);
  const stdin = { source: site.source, version, params: asked };
  const run = await runResource("in", { args: [to], stdin, under, env: { UV_THREADPOOL_SIZE: "1" } });
  return { run, names: await readdir(to) };
}

/** What an error that the disk answers with is told as. */
const told: Readonly<Record<string, RegExp>> = {
  EIO: /: the disk fails with an I\/O error.*kernel log/,
  ENOSPC: /: the disk is full, \d+ of its \d+ bytes are free/,
  EDQUOT: /: the disk quota is used up/,
  EUCLEAN: /: the filesystem is damaged/,
  ESTALE: /: the network disk no longer knows the file/,
};

for (const [form, asked] of Object.entries({ "image.tar": {}, image: { output_oci: true } }))
  test(`a get of ${form} whose early flush of a layer fails says so and delivers nothing`, async () => {
    for (const [error, words] of Object.entries(told)) {
      let failed = 0;
      for (;;) {
        const under = injecting("fdatasync", `error=${error}:when=${failed + 1}`);
        const { run, names } = await get(under, asked);
        if (run.status === 0) break;
        failed++;
        assertFailedCleanly(run, words);
        assert.match(run.stderr, new RegExp(`/get-[^/]+/\\.partial-\\w+/${form}: the`));
        assert.deepEqual(names, []);
      }
      assert.ok(failed >= 2, `${failed} flushes of two layers`);
    }
  });

test("a get or a put whose writes or renames fail says so, and delivers or stores nothing", async () => {
  const stored = await readdir(join(site.folder, "builds"));
  for (const [error, words] of Object.entries(told)) {
    for (const [calls, asked] of [
      ["pwrite64", {}],
      ["rename", {}],
      ["rename", { output_oci: true }],
    ] as const) {
      const { run, names } = await get(injecting(calls, `error=${error}:when=1`), asked);
      assertFailedCleanly(run, words);
      assert.deepEqual(names, []);
    }
    assertFailedCleanly(await put(injecting("rename", `error=${error}`)), words);
    assert.deepEqual(await readdir(join(site.folder, "builds")), stored);
  }
});

test("a file that is larger than the step may write is told as that", async () => {
  const { run, names } = await get(["prlimit", "--fsize=100000"], {});
  assertFailedCleanly(run, /image\.tar: the file is larger than this step or its disk allows.*ulimit -f/);
  assert.deepEqual(names, []);
});

test("a folder that the step's user may not write to is named", async () => {
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const { run, names } = await get(nobody, {});
  assertFailedCleanly(run, /: this step's user may not use it\. Run the step as root/);
  assert.deepEqual(names, []);
});

test("a TMPDIR that isn't a folder is named, and a relative one counts from the step's folder", async () => {
  for (const folder of ["/nonexistent", "/etc/passwd"])
    assertFailedCleanly(
      await put([], { TMPDIR: folder }),
      new RegExp(`^error: ${folder}: there is no such folder, and temporary files belong there`, "m"),
    );
  const run = await runResource("out", {
    args: [site.inputs],
    cwd: site.folder,
    stdin: { source: site.source, params: { context: "app", ...params } },
    env: { TMPDIR: "inputs", NO_COLOR: "1" },
  });
  versionOf(run);
  assert.deepEqual(await readdir(site.inputs), ["app"]);
});
