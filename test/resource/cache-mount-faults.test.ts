import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { pushLayout, writeLayout } from "../support/images/image-writer.ts";
import { counting, said } from "../support/runs/mount-builds.ts";
import { makeSite, metadataOf, result } from "../support/runs/put-and-get.ts";
import { responseOf } from "../support/runs/resource.ts";
import { asks, type Fault, type Faulty, startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

test("a build begins when its mounts are restored, and content that doesn't come is done without", async () => {
  await using registry = await startRegistry();
  await using proxy = await startFaultProxy(registry.url);
  const store = { repository: `${proxy.host}/team/app`, insecure: true, cache: { mounts: true } };
  await using site = await makeSite(counting("--mount=type=cache,target=/m"), store);
  await site.put({ build_args: { round: "1" } });
  /** Asks for what the list or the mount's content is in. */
  const asksMounts = async () => {
    const manifest = await fetch(`${registry.url}/v2/team/app/manifests/buildcache.mounts`, {
      headers: { accept: "application/vnd.oci.image.manifest.v1+json" },
    });
    const { layers } = (await manifest.json()) as { layers: { digest: string }[] };
    return asks(new RegExp(layers.map(({ digest }) => digest).join("|")), "GET");
  };
  const asked = Promise.withResolvers<void>();
  const mayAnswer = Promise.withResolvers<void>();
  proxy.inject({
    when: await asksMounts(),
    happens: async (faulty) => {
      asked.resolve();
      await mayAnswer.promise;
      const { status, headers, body } = await faulty.forward();
      faulty.response.writeHead(status, headers).end(body);
    },
  });
  const second = await site.startPut({ build_args: { round: "2" } });
  await asked.promise;
  mayAnswer.resolve();
  const run = await second.result;
  assert.deepEqual((await result(await site.get(run))).trim().split("\n"), ["1", "2"]);
  assert.match(said(run) ?? "", /1 restored, 2 B; 1 saved, 4 B/);
  assert.match(metadataOf(run, "steps") ?? "", /^1 run/);
  proxy.inject({ when: await asksMounts(), happens: () => {} });
  const stuck = await site.put({ build_args: { round: "3" } }, { timeouts: { stall: 2 } });
  assert.match(stuck.stderr, /warning: .*cache mount.*: no answer for 2\.0 s/);
  assert.deepEqual((await result(await site.get(stuck))).trim().split("\n"), ["3"]);
});

test("base images are fetched while mounts are restored, from where the build takes them, and saving may be slow", async () => {
  await using registry = await startRegistry();
  await using proxy = await startFaultProxy(registry.url);
  const store = { repository: `${proxy.host}/team/app`, insecure: true, cache: { mounts: true } };
  await using site = await makeSite(
    `FROM ${proxy.host}/base\nWORKDIR /app\nARG round\nRUN --mount=type=cache,target=/m ls /m > /result; echo $round; head -c 12000000 /dev/urandom > /m/noise\n`,
    store,
  );
  const base = await writeLayout(join(site.folder, "base"), { config: { Env: ["PATH=/bin"] } });
  await pushLayout(base.folder, `${registry.host}/base`);
  responseOf(await site.put({ build_args: { round: "1" } }));
  const manifest = await fetch(`${registry.url}/v2/team/app/manifests/buildcache.mounts`, {
    headers: { accept: "application/vnd.oci.image.manifest.v1+json" },
  });
  const { layers } = (await manifest.json()) as { layers: { digest: string; size: number }[] };
  const content = layers.find(({ size }) => size > 1e6)?.digest ?? "none";
  const fetched = Promise.withResolvers<string>();
  proxy.inject(
    {
      when: asks(new RegExp(base.images[0]?.layers[0]?.descriptor.digest ?? "none"), "GET"),
      happens: async (faulty) => {
        fetched.resolve(faulty.request.path);
        const { status, headers, body } = await faulty.forward();
        faulty.response.writeHead(status, headers).end(body);
      },
    },
    {
      // An upload says nothing while it lasts.
      when: ({ method, headers }) => method === "PUT" && Number(headers["content-length"]) > 1e6,
      happens: async (faulty) => {
        await faulty.body();
        await delay(4000);
        const { status, headers } = await faulty.forward();
        faulty.response.writeHead(status, headers).end();
      },
    },
    {
      when: asks(new RegExp(content), "GET"),
      happens: async (faulty) => {
        await fetched.promise;
        const { status, headers, body } = await faulty.forward();
        faulty.response.writeHead(status, headers).end(body);
      },
    },
  );
  const second = await site.put({ build_args: { round: "2" } }, { timeouts: { stall: 2 } });
  assert.equal(await result(await site.get(second)), "noise\n");
  assert.match(await fetched.promise, /^\/v2\/team\/app\//);
  assert.doesNotMatch(second.stderr, /warning: .*cache mount/);
  assert.equal(said(second), "cache mounts: 1 restored, 12.0 MB; 1 saved, 12.0 MB");
});

/** Answers end in the middle of the largest blob of `team/cache`. */
const cut = (then: (faulty: Faulty) => void): Fault => ({
  when: asks(/\/v2\/team\/cache\/blobs\//, "GET"),
  happens: async (faulty) => {
    const { status, headers, body } = await faulty.forward();
    faulty.response.writeHead(status, headers);
    if (body.length < 1.5e6) faulty.response.end(body);
    else faulty.response.write(body.subarray(0, body.length / 2), () => then(faulty));
  },
});

test("if a registry stalls or dies in the middle of a mount's content, the build goes on with an empty mount", async () => {
  await using registry = await startRegistry();
  await using proxy = await startFaultProxy(registry.url);
  const store = {
    repository: `${registry.host}/team/app`,
    insecure: true,
    cache: { ref: `${proxy.host}/team/cache:c`, mounts: { always: true } },
  };
  await using site = await makeSite(
    `ARG round\nRUN --mount=type=cache,target=/m ls /m > /result; echo $round; head -c 2000000 /dev/urandom > /m/noise\n`,
    store,
  );
  responseOf(await site.put({ build_args: { round: "1" } }));
  let isDead = false;
  const dead: Fault = { when: () => isDead, happens: (faulty) => faulty.reset() };
  const dies = cut((faulty) => {
    isDead = true;
    faulty.reset();
  });
  for (const fault of [dies, cut(() => {})]) {
    isDead = false;
    proxy.inject(dead, fault);
    // Nothing is written to the dead one, which BuildKit would try for long.
    const source = { timeouts: { stall: 2 }, cache: { ...store.cache, export: fault !== dies } };
    const run = await site.put({ build_args: { round: "2" } }, source);
    assert.equal(await result(await site.get(run)), "");
    assert.match(run.stderr, /^warning: cache mount \/m not restored: /m);
    assert.match(said(run) ?? "", fault === dies ? /0 restored, 0 B; 0 saved/ : /0 restored, 0 B; 1 saved/);
  }
});

test("if a registry never answers for the tag of cache mounts, the build doesn't wait for them and uses its layers", async () => {
  await using registry = await startRegistry();
  await using proxy = await startFaultProxy(registry.url);
  const store = { repository: `${proxy.host}/team/app`, insecure: true, cache: { mounts: true } };
  await using site = await makeSite(counting("--mount=type=cache,target=/m"), store);
  await site.put({ build_args: { round: "1" } });
  proxy.inject({ when: ({ path }) => path.includes("/manifests/buildcache.mounts"), happens: () => {} });
  const put = (args: object) => site.put({ build_args: { round: "1", ...args } }, { timeouts: { stall: 1 } });
  const again = await put({});
  assert.match(metadataOf(again, "steps") ?? "", /^0 run/);
  for (const run of [again, await put({ BUILDKIT_CACHE_MOUNT_NS: "team" })]) {
    assert.match(
      run.stderr,
      /warning: saved cache mounts \S+:buildcache\.mounts\S* not used: HEAD \S+: no answer within 1 s/,
    );
    assert.doesNotMatch(run.stderr, /layer cache .*not used/);
  }
});
