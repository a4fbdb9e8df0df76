import assert from "node:assert/strict";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { pushBaseImage } from "../support/images/pushed-base.ts";
import { makeSite, metadataOf, result, shell } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly } from "../support/runs/resource.ts";
import { asks, missesBlob, startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";
import { startSilentServer } from "../support/servers/silent-server.ts";

const dockerfile = "RUN echo one; date > /result\nFROM shell\nRUN (echo two; date) > /result\n";

test("the second put, on a worker whose daemon is new, runs no step: the layers come from the repository", async () => {
  await using registry = await startRegistry();
  const store = { repository: `${registry.host}/team/app`, insecure: true, cache: true };
  await using site = await makeSite(dockerfile, store);
  const first = await site.put({});
  assert.equal(metadataOf(first, "steps"), "4 run, 0 cached");
  const second = await site.put({});
  assert.equal(metadataOf(second, "steps"), "0 run, 4 cached");
  assert.deepEqual(JSON.parse(second.stdout).version, JSON.parse(first.stdout).version);
  assert.equal(await result(await site.get(second)), await result(await site.get(first)));
});

/** Which blobs a part of a registry's log says were fetched. */
const fetched = (log: string) => new Set(log.match(/GET \S+\/blobs\/\S+/g) ?? []);

test("a put whose steps are all cached fetches no layer, neither of its base nor of the cache", async () => {
  await using registry = await startRegistry();
  await using bases = await startRegistry();
  const store = { repository: `${registry.host}/team/app`, insecure: true, cache: true };
  await using site = await makeSite("", store);
  const base = await pushBaseImage(bases.host, join(site.folder, "base"));
  await writeFile(
    join(site.inputs, "app/Dockerfile"),
    `FROM ${base}\nWORKDIR /app\nCOPY busybox /bin/sh\nRUN true\n`,
  );
  const access = { registries: { [bases.host]: { insecure: true } } };
  await site.put({}, access);
  const [before, cacheBefore] = [bases.log().length, registry.log().length];
  const again = await site.put({}, access);
  assert.equal(metadataOf(again, "steps"), "0 run, 3 cached");
  // The base's config alone, and of the cache its config and its list of layers.
  assert.equal(fetched(bases.log().slice(before)).size, 1);
  assert.ok(fetched(registry.log().slice(cacheBefore)).size <= 2);
});

test("a layer cache whose blobs the registry doesn't see for a moment is written once more", async () => {
  await using registry = await startRegistry();
  await using proxy = await startFaultProxy(registry.url);
  const store = { repository: `${proxy.host}/team/app`, insecure: true, cache: true };
  await using site = await makeSite(dockerfile, store);
  const isCache = asks(/manifests\/buildcache/, "PUT");
  proxy.inject({ when: isCache, times: 1, happens: missesBlob });
  const first = await site.put({});
  assert.match(first.stderr, /layer cache not used \(exporting .*blob unknown.*\n.*once more\n/);
  assert.equal(metadataOf(first, "steps"), "4 run, 0 cached");
  assert.equal(proxy.requests.filter(isCache).length, 2);
  const second = await site.put({});
  assert.equal(metadataOf(second, "steps"), "0 run, 4 cached");
  assert.doesNotMatch(second.stderr, /warning/);
});

test("targets keep their steps apart, in a cache of a folder too", async () => {
  await using site = await makeSite(
    "FROM shell AS one\nRUN echo 1 > /result\nFROM shell AS two\nRUN echo 2 > /result\n",
  );
  const cache = { type: "local", directory: join(site.folder, "cache") };
  const params = { target: "one", additional_targets: ["two"] };
  await site.put(params, { cache });
  assert.deepEqual((await readdir(cache.directory)).toSorted(), ["cache", "cache-two"]);
  const again = await site.put(params, { cache });
  assert.equal(metadataOf(again, "steps"), "0 run, 4 cached");
});

test("several caches are looked in; one that is only read is never written", async () => {
  await using registry = await startRegistry();
  const ref = `${registry.host}/team/cache`;
  const access = { registries: { [registry.host]: { insecure: true } } };
  await using site = await makeSite(dockerfile);
  const read = { ref: `${ref}:main`, export: false };
  const own = { ref: `${ref}:own`, mode: "min" };
  await site.put({}, { ...access, cache: [read, own] });
  assert.doesNotMatch(registry.log(), /PUT .*manifests\/main/);
  assert.match(registry.log(), /PUT .*manifests\/own/);
  const again = await site.put({}, { ...access, cache: [read, own] });
  assert.match(metadataOf(again, "steps") ?? "", /^[01] run/);
});

test("a cache that can't be reached costs a warning, and one that isn't there yet not even that", async () => {
  await using registry = await startRegistry();
  const access = { registries: { [registry.host]: { insecure: true } } };
  await using site = await makeSite(dockerfile);
  const unreachable = await site.put({}, { cache: { ref: "127.0.0.1:1/team/app:buildcache" } });
  assert.equal(metadataOf(unreachable, "steps"), "4 run, 0 cached");
  assert.match(unreachable.stderr, /warning: layer cache not used \(importing .*connection refused/);
  assert.match(unreachable.stderr, /warning: layer cache not used \(exporting .*connection refused/);
  const first = await site.put({}, { ...access, cache: { ref: `${registry.host}/team/cache` } });
  assert.doesNotMatch(first.stderr, /warning/);
});

test("a damaged cache is said, and costs no build", async () => {
  await using registry = await startRegistry();
  const access = { registries: { [registry.host]: { insecure: true } } };
  const cache = { ref: `${registry.host}/team/cache` };
  await using site = await makeSite(dockerfile);
  await site.put({}, { ...access, cache });
  await damageBlobs(join(registry.folder, "docker/registry/v2/blobs/sha256"));
  const changed = (line: string) => ({
    dockerfile_inline: `${shell}${dockerfile}RUN echo ${line} > /result\n`,
  });
  const broken = await site.put(changed("three"), { ...access, cache });
  assert.equal(await result(await site.get(broken)), "three\n");
  assert.match(
    broken.stderr,
    /The layer cache may be damaged or out of reach: building once more without it/,
  );
});

test("a cache whose registry never answers is done without, and that is said", async () => {
  await using silent = await startSilentServer();
  await using site = await makeSite(dockerfile);
  const registries = { [silent.host]: { insecure: true } };
  const run = await site.put(
    {},
    { registries, cache: { ref: `${silent.host}/cache` }, timeouts: { stall: 1 } },
  );
  assert.equal(metadataOf(run, "steps"), "4 run, 0 cached");
  assert.match(
    run.stderr,
    /warning: layer cache \S+\/cache:buildcache not used: GET \S+\/v2\/: no answer within 1 s/,
  );
});

test("a cache that stops taking what is written is done without, and that is said", async () => {
  await using registry = await startRegistry();
  await using proxy = await startFaultProxy(registry.url);
  proxy.inject({ when: asks(/\/blobs\/uploads\/./, "PUT"), happens: () => {} });
  await using site = await makeSite(dockerfile);
  const registries = { [proxy.host]: { insecure: true } };
  const run = await site.put(
    {},
    { registries, cache: { ref: `${proxy.host}/cache` }, timeouts: { stall: 0.3 } },
  );
  assert.equal(metadataOf(run, "steps"), "4 run, 0 cached");
  assert.match(run.stderr, /warning: exporting cache to registry: it has made no progress for 3\.\d s/);
});

test("caches that can't even be begun with cost no build", async () => {
  await using site = await makeSite(dockerfile);
  const gha = { type: "gha", url: "http://127.0.0.1:1/", token: "no token" };
  for (const cache of [{ type: "local", directory: "/proc/nowhere" }, gha]) {
    const run = await site.put({}, { cache });
    assert.equal(metadataOf(run, "steps"), "4 run, 0 cached");
    assert.match(run.stderr, /warning: .*\nThe layer cache may be damaged or out of reach/);
  }
});

test("a local cache with a damaged index, or damaged blobs, costs no build, and is mended", async () => {
  await using site = await makeSite(dockerfile);
  const cache = { type: "local", directory: join(site.folder, "cache") };
  await site.put({}, { cache });
  const index = join(cache.directory, "cache/index.json");
  const whole = await readFile(index, "utf8");
  for (const damaged of ["{", '{"manifests":[]}', whole.replaceAll(/[0-9a-f]{64}/g, "0".repeat(64))]) {
    await writeFile(index, damaged);
    assert.equal(metadataOf(await site.put({}, { cache }), "steps"), "4 run, 0 cached");
  }
  assert.equal(metadataOf(await site.put({}, { cache }), "steps"), "0 run, 4 cached");
});

/** Overwrites every blob that isn't a JSON document. */
async function damageBlobs(folder: string): Promise<void> {
  for (const prefix of await readdir(folder)) {
    for (const hex of await readdir(join(folder, prefix))) {
      const data = join(folder, prefix, hex, "data");
      const bytes = await readFile(data);
      if (bytes[0] === 0x7b) continue;
      await rm(data);
      await writeFile(data, Buffer.alloc(bytes.length));
    }
  }
}

test("credentials of a cache never go to a daemon elsewhere as arguments", async () => {
  await using site = await makeSite(dockerfile);
  const cache = {
    type: "s3",
    bucket: "b",
    region: "r",
    access_key_id: "id",
    secret_access_key: "hidden-key",
  };
  const run = await site.put({}, { cache, buildkit: { address: "tcp://127.0.0.1:1" } });
  assertFailedCleanly(run, /access_key_id can't be given to a BuildKit elsewhere/);
  assert.doesNotMatch(run.output, /hidden-key/);
});

test("a directory store with cache: true is told what to give", async () => {
  await using site = await makeSite(dockerfile);
  assertFailedCleanly(await site.put({}, { cache: true }), /give cache: \{ref: registry\.example/);
});
