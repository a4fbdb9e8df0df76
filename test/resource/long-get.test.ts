import assert from "node:assert/strict";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { randomLayer, storeImage } from "../support/images/stored-image.ts";
import { withDisk, withListedDisk } from "../support/runs/disks.ts";
import {
  type RunOptions,
  runResource,
  type StartedRun,
  startResource,
  versionOf,
} from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { type Fault, type FaultProxy, startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const size = 3_000_000;
const [registry] = await untilTestsEnd(startRegistry());
const stored = await storeImage(`${registry.host}/app`, { layers: [randomLayer(size)] });

const layer = (request: { readonly path: string }) =>
  request.path.includes(stored.image.layers[0]?.descriptor.digest ?? "none");

/** Sends the first million bytes of the layer, and the rest once `rest` says so. */
function sendsInTwo(rest: Promise<void>): Fault {
  return {
    when: layer,
    happens: async (faulty) => {
      const { status, headers, body } = await faulty.forward();
      faulty.response.writeHead(status, headers);
      faulty.response.write(body.subarray(0, 1_000_000));
      await rest;
      faulty.response.end(body.subarray(1_000_000));
    },
  };
}

function startGet(
  proxy: FaultProxy,
  folder: string,
  params: object,
  env: RunOptions["env"] = {},
): Promise<StartedRun> {
  const source = { repository: `${proxy.host}/app`, insecure: true };
  return startResource("in", {
    args: [folder],
    stdin: { source, version: stored.version, params },
    env: { NO_COLOR: "1", ...env },
  });
}

for (const [what, params] of [
  ["image.tar", {}],
  ["image/", { output_oci: true }],
] as const) {
  test(`a get that takes more than a second says how much of ${what} is written`, async () => {
    await using folder = await createPrivateFolder("test-long");
    await using proxy = await startFaultProxy(registry.url);
    const rest = Promise.withResolvers<void>();
    proxy.inject(sendsInTwo(rest.promise));
    const started = await startGet(proxy, folder.path, params);
    await started.wrote(new RegExp(`writing ${what}: 1\\.0 MB of 3\\.0 MB\\n`));
    rest.resolve();
    const run = await started.result;
    assert.deepEqual(versionOf(run).version, stored.version);
    assert.match(run.stderr, new RegExp(`wrote ${what}: 3\\.0 MB\\n$`));
    assert.equal(await readFile(join(folder.path, "digest"), "utf8"), stored.version.digest);
  });

  test(`a get from a registry needs room for ${what} and for nothing else, in a folder that is a disk`, async () => {
    await using temporary = await createPrivateFolder("test-long");
    const [folder, tmp] = [join(temporary.path, "get"), join(temporary.path, "tmp")];
    for (const path of [folder, tmp]) await mkdir(path);
    const listing = join(temporary.path, "listing");
    const run = await runResource("in", {
      args: [folder],
      stdin: {
        source: { repository: `${registry.host}/app`, insecure: true },
        version: stored.version,
        params,
      },
      env: { NO_COLOR: "1", TMPDIR: tmp },
      under: [...withDisk(tmp, "size=200k"), ...withListedDisk(folder, "size=4m", listing)],
    });
    versionOf(run);
    const names = (await readFile(listing, "utf8")).split("\n");
    assert.ok(names.includes(`./${what.replace("/", "")}`));
    assert.ok(!names.some((name) => name.includes("partial")));
  });

  test(`a get that is aborted while it writes ${what} leaves nothing`, async () => {
    await using folder = await createPrivateFolder("test-long");
    await using proxy = await startFaultProxy(registry.url);
    proxy.inject(sendsInTwo(new Promise(() => {})));
    const started = await startGet(proxy, folder.path, params);
    await started.wrote(/writing image/);
    assert.match((await readdir(folder.path)).join(), /^\.partial-\w+$/);
    started.kill("SIGTERM");
    const run = await started.result;
    assert.equal(run.status, 143);
    assert.equal(run.stdout, "");
    assert.match(run.stderr, /aborted by SIGTERM\n$/);
    assert.deepEqual(run.leftovers, []);
    assert.deepEqual(await readdir(folder.path), []);
  });
}

/** The heaps that glibc has made for threads: each takes 64 MiB of addresses, and uses the first of them. */
async function threadHeaps(pid: number): Promise<number> {
  const maps = await readFile(`/proc/${pid}/maps`, "utf8");
  const areas = Array.from(maps.matchAll(/^(\w+)-(\w+) (\S+) /gm), ([, from, to, rights]) => ({
    from: Number.parseInt(from ?? "", 16),
    to: Number.parseInt(to ?? "", 16),
    rights,
  }));
  const reserved = 64 * 1024 * 1024;
  const isHeap = ({ from, to, rights }: (typeof areas)[number], index: number) =>
    rights === "rw-p" &&
    from % reserved === 0 &&
    to < from + reserved &&
    areas[index + 1]?.to === from + reserved;
  return areas.filter(isHeap).length;
}

test("the threads of a get take memory from one heap, unless the environment says otherwise", async () => {
  for (const tunables of [undefined, "glibc.malloc.arena_max=8"]) {
    await using folder = await createPrivateFolder("test-long");
    await using proxy = await startFaultProxy(registry.url);
    const rest = Promise.withResolvers<void>();
    proxy.inject(sendsInTwo(rest.promise));
    const params = { unpack_rootfs: true, image_tar: false };
    const started = await startGet(proxy, folder.path, params, { GLIBC_TUNABLES: tunables });
    await started.wrote(/unpacking layer 1 of 1: 1 entry, \d+ kB/);
    const heaps = await threadHeaps(started.pid);
    rest.resolve();
    versionOf(await started.result);
    if (tunables === undefined) assert.equal(heaps, 0);
    else assert.ok(heaps > 2, `${heaps} heaps`);
  }
});
