import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { forgeLayers, zerosTar } from "../support/images/forged-cache.ts";
import { withDisk } from "../support/runs/disks.ts";
import { counting, said } from "../support/runs/mount-builds.ts";
import { makeSite, metadataOf, result, type Site } from "../support/runs/put-and-get.ts";
import { responseOf } from "../support/runs/resource.ts";
import { startBucket } from "../support/servers/bucket.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const rounds = async (site: Site, round: string, source = {}, params = {}): Promise<string[]> => {
  const run = await site.put({ build_args: { round }, ...params }, source);
  return (await result(await site.get(run))).trim().split("\n");
};

test("what a RUN keeps in its cache mount is there in the next put, from a registry and from a directory", async () => {
  await using registry = await startRegistry();
  await using folder = await makeSite("");
  const directory = join(folder.folder, "cache");
  const stores = [
    { repository: `${registry.host}/team/app`, insecure: true, cache: { mounts: true } },
    { directory: join(folder.folder, "builds"), cache: { type: "local", directory, mounts: true } },
  ];
  for (const store of stores) {
    // The first step is cached later, and doesn't touch its mount.
    const dockerfile = `RUN --mount=type=cache,target=/n echo kept > /n/f\n${counting("--mount=type=cache,target=/m")}`;
    await using site = await makeSite(dockerfile, store);
    const first = await site.put({ build_args: { round: "1" } });
    assert.equal(said(first), "cache mounts: 0 restored, 0 B; 2 saved, 7 B");
    const second = await site.put({ build_args: { round: "2" } });
    assert.equal(said(second), "cache mounts: 2 restored, 7 B; 1 saved, 4 B");
    const third = await site.put({ build_args: { round: "3" } });
    assert.equal(said(third), "cache mounts: 2 restored, 9 B; 1 saved, 6 B");
    assert.equal(await result(await site.get(third)), "1\n2\n3\n");
    assert.doesNotMatch(first.stderr + second.stderr, /warning: .*cache mount/);
  }
  assert.deepEqual((await readdir(directory)).toSorted(), ["cache", "cache.mounts"]);
});

test("owners, modes, times, symbolic and hard links come back as they were, under ids, owners and namespaces", async () => {
  const fill =
    "mkdir d && echo x > d/f && chown 7:8 d/f && chmod 4751 d/f && touch -d '2001-02-03 04:05:06' d/f && ln d/f hard && ln -s d/f soft && chmod 0710 d && mkfifo pipe";
  // A link's own time is nothing that programs look at.
  const show =
    "ls -laR --full-time . | grep -v ' \\.\\.$' | sed 's/^\\(l.* \\)20.*soft/\\1soft/' && stat -c %h hard";
  const step = (target: string, flags: string) =>
    `RUN --mount=type=cache,target=${target},${flags} cd ${target} && if [ -e soft ]; then { ${show}; } > /result${target.replace("/", "-")}; else ${fill}; { ${show}; } > /result${target.replace("/", "-")}; echo filled >> /filled; fi\n`;
  const dockerfile = `ARG round
ARG who=5
ARG name=shared-id
${step("/a", "id=$name")}${step("/b", "uid=$who,gid=6,mode=0750")}${step("/c/../c/", "sharing=locked")}${step("/d", "sharing=private,uid=0")}RUN echo $round > /result; touch /filled; cat /filled /result-* >> /result
`.replaceAll("/c/../c/ &&", "/c &&");
  await using registry = await startRegistry();
  const store = { repository: `${registry.host}/team/app`, insecure: true, cache: { mounts: true } };
  await using site = await makeSite(dockerfile.replaceAll("/result-c/../c/", "/result-c"), store);
  // The blank belongs to the name.
  for (const namespace of [{}, { BUILDKIT_CACHE_MOUNT_NS: "team " }]) {
    const [first, second] = [
      await rounds(site, "1", {}, { build_args: { round: "1", ...namespace } }),
      await rounds(site, "2", {}, { build_args: { round: "2", ...namespace } }),
    ];
    assert.equal(first.filter((line) => line === "filled").length, 4);
    assert.deepEqual(
      second.slice(1),
      first.slice(1).filter((line) => line !== "filled"),
    );
  }
});

test("a mount that the build leaves as it was isn't saved again, and a build without a step that runs saves none", async () => {
  await using registry = await startRegistry();
  const store = { repository: `${registry.host}/team/app`, insecure: true, cache: { mounts: true } };
  await using site = await makeSite(
    "ARG round\nRUN --mount=type=cache,target=/m [ -e /m/f ] || echo once > /m/f; echo $round > /result\n",
    store,
  );
  assert.match(said(await site.put({ build_args: { round: "1" } })) ?? "", /1 saved, 5 B/);
  assert.match(said(await site.put({ build_args: { round: "2" } })) ?? "", /1 restored, 5 B; 0 saved/);
  const cached = await site.put({ build_args: { round: "2" } });
  assert.match(metadataOf(cached, "steps") ?? "", /^0 run/);
  assert.match(said(cached) ?? "", /; 0 saved, 0 B$/);
});

test("a put that may only restore never writes, and one that may only save begins empty", async () => {
  await using registry = await startRegistry();
  const store = { repository: `${registry.host}/team/app`, insecure: true, cache: { mounts: true } };
  await using site = await makeSite(counting("--mount=type=cache,target=/m"), store);
  await site.put({ build_args: { round: "main" } });
  const pull = { cache: { mounts: { restore: true, save: false } } };
  assert.deepEqual(await rounds(site, "request", pull), ["main", "request"]);
  assert.deepEqual(await rounds(site, "main 2"), ["main", "main 2"]);
  assert.deepEqual(await rounds(site, "other", { cache: { export: false, mounts: true } }), [
    "main",
    "main 2",
    "other",
  ]);
  const anew = await site.put({ build_args: { round: "anew" }, no_cache: true });
  assert.match(anew.stderr, /^cache mounts: not kept by this put, because no_cache /m);
  assert.deepEqual(await rounds(site, "main 3"), ["main", "main 2", "main 3"]);
  const fresh = { cache: { mounts: { restore: false } } };
  assert.deepEqual(await rounds(site, "fresh", fresh), ["fresh"]);
  assert.deepEqual(await rounds(site, "after"), ["fresh", "after"]);
});

/** A stage with a mount of its own, in which it leaves a file of so many bytes. */
const stage = (name: string) => `FROM shell AS ${name}
ARG bytes
RUN --mount=type=cache,target=/${name} ls /${name} > /result; head -c $bytes /dev/urandom > /${name}/noise
`;

test("mounts that a build doesn't use stay saved, until the limit drops those that weren't used for the longest", async () => {
  await using registry = await startRegistry();
  const store = { repository: `${registry.host}/team/app`, insecure: true };
  await using site = await makeSite(["one", "two", "three"].map(stage).join(""), store);
  const cache = { mounts: { limit: 250_000, always: true } };
  let count = 0;
  /** Builds a stage; answers what was in its mount before. */
  const build = async (target: string, bytes = 100_000) => {
    // Each build has other bytes to write, so that no step is cached.
    const run = await site.put({ target, build_args: { bytes: bytes + count++ } }, { cache });
    return { names: (await result(await site.get(run))).trim(), log: run.stderr };
  };
  for (const target of ["one", "two"]) assert.equal((await build(target)).names, "");
  assert.equal((await build("one")).names, "noise");
  assert.equal((await build("three")).names, "");
  assert.equal((await build("one")).names, "noise");
  assert.equal((await build("two")).names, "");
  const { log } = await build("one", 300_000);
  assert.match(
    log,
    /warning: cache mount \/one not saved: its 300 kB are more than cache.mounts.limit, 250 kB: raise it/,
  );
});

test("broken and foreign content is left out with a warning, and is replaced by that build", async () => {
  await using site = await makeSite(counting("--mount=type=cache,target=/m"));
  const cache = {
    type: "local",
    directory: join(site.folder, "cache"),
    mounts: { always: true, limit: 1e6 },
  };
  const folder = join(cache.directory, "cache.mounts");
  assert.deepEqual(await rounds(site, "1", { cache }), ["1"]);
  const damages: Record<string, () => Promise<void>> = {
    "all blobs but documents": async () => {
      for (const name of await readdir(join(folder, "blobs/sha256"))) {
        const file = join(folder, "blobs/sha256", name);
        const bytes = await readFile(file);
        if (bytes[0] !== 0x7b) await writeFile(file, Buffer.alloc(bytes.length));
      }
    },
    "content that fills the disk": () =>
      forgeLayers(folder, { name: "saved/", layer: () => zerosTar("saved/f", 2e9) }),
    "the index": () => writeFile(join(folder, "index.json"), "{"),
    "a file in the folder's place": async () => {
      await rm(folder, { recursive: true });
      await writeFile(folder, "no folder");
    },
    "nothing there": async () => {
      await rm(folder, { recursive: true });
      await mkdir(folder);
    },
  };
  for (const [what, damage] of Object.entries(damages)) {
    await damage();
    const run = await site.put({ build_args: { round: what } }, { cache });
    responseOf(run);
    if (what.includes("disk"))
      assert.match(run.stderr, /warning: cache mount \/m not restored: it was stopped/);
    if (what.includes("blobs")) assert.match(run.stderr, /warning: saved cache mounts not used: /);
    assert.deepEqual((await result(await site.get(run))).trim().split("\n"), [what]);
    assert.deepEqual(await rounds(site, "next", { cache }), [what, "next"]);
  }
});

test("a mount of more files than the disk has room for begins empty, isn't saved, and fails no build", async () => {
  await using site = await makeSite(
    `ARG files
RUN --mount=type=cache,target=/m ls -A /m | wc -l > /result; mkdir -p /m/d && cd /m/d && seq $files | xargs touch
`,
  );
  const cache = {
    type: "local",
    directory: join(site.folder, "cache"),
    mounts: { always: true, limit: 100e6 },
  };
  const put = (files: number, how = {}) => site.put({ build_args: { files } }, { cache }, how);
  assert.match(said(await put(6000)) ?? "", /; 1 saved, 0 B$/);
  // There is room for the files as they are unpacked, but not for their copies.
  const run = await put(4000, { under: withDisk("/var/lib", "nr_inodes=12500") });
  for (const what of ["mount /m not restored", "mounts not saved"])
    assert.match(
      run.stderr,
      new RegExp(`^warning: cache ${what}: .*(half of what was free|No space left)`, "m"),
    );
  assert.equal(await result(await site.get(run)), "0\n");
});

test("mounts that can't be copied are named, and a BuildKit elsewhere keeps its own", async () => {
  await using daemon = await startBuildkitd();
  await using registry = await startRegistry();
  const store = { repository: `${registry.host}/team/app`, insecure: true, cache: { mounts: true } };
  await using site = await makeSite(
    "RUN --mount=type=cache,target=/m,from=shell,source=/bin ls /m > /result\n",
    store,
  );
  assert.match(
    (await site.put({})).stderr,
    /^cache mounts: not kept: \/m \(its content begins with .*from or source\)$/m,
  );
  const elsewhere = await site.put({}, { buildkit: { address: daemon.address } });
  assert.match(elsewhere.stderr, /^cache mounts: not kept by this put: the BuildKit elsewhere/m);
  assert.doesNotMatch(registry.log(), /PUT \S*buildcache\.mounts/);
});

test("mounts are paused when copying them took longer than it saved in three builds in a row, unless always kept", async () => {
  await using registry = await startRegistry();
  await using proxy = await startFaultProxy(registry.url);
  const store = { repository: `${proxy.host}/team/app`, insecure: true, cache: { mounts: true } };
  await using site = await makeSite(counting("--mount=type=cache,target=/m"), store);
  const put = async (round: string, source = {}) => {
    const run = await site.put({ build_args: { round } }, source);
    responseOf(run);
    return run.stderr.match(/^cache mounts: .*$/gm) ?? [];
  };
  assert.deepEqual(await put("1"), ["cache mounts: 0 restored, 0 B; 1 saved, 2 B"]);
  // The step has to wait for a registry that takes its time.
  proxy.inject({
    when: ({ method, path }) => method === "HEAD" && path.includes("/manifests/buildcache.mounts"),
    happens: async (faulty) => {
      await delay(1200);
      const { status, headers } = await faulty.forward();
      faulty.response.writeHead(status, headers).end();
    },
  });
  const lost = /1 restored, \d B; 1 saved, \d B; steps .*, \d\S* s lost to copying$/;
  for (const round of ["2", "3"]) assert.match((await put(round)).join("\n"), lost);
  const paused = /^cache mounts: not kept until \d{4}-\d\d-\d\d, as copying them took longer than it saved/;
  const third = await put("4");
  assert.match(third[0] ?? "", /1 restored, 6 B; 0 saved, 0 B; steps .* s lost to copying$/);
  assert.match(third[1] ?? "", paused);
  proxy.inject();
  const during = await put("5");
  assert.equal(during.length, 1);
  assert.match(during[0] ?? "", paused);
  // What was saved is gone.
  const always = { cache: { mounts: { always: true } } };
  assert.deepEqual(await put("6", always), ["cache mounts: 0 restored, 0 B; 1 saved, 2 B"]);
});

test("of two puts that save at the same time the last one wins, with all that it has saved", async () => {
  await using registry = await startRegistry();
  const cache = { mounts: { always: true } };
  const store = { repository: `${registry.host}/team/app`, insecure: true, cache };
  await using site = await makeSite(["one", "two"].map(stage).join(""), store);
  const put = (target: string, bytes: number) => site.put({ target, build_args: { bytes } });
  await Promise.all([put("one", 1000), put("two", 2000)]);
  const after = [await put("one", 1001), await put("two", 2001)];
  // Each of the two lists names its own mount, or both if one put had read the other's list.
  const restored = after.map((run) => /^cache mounts: (\d) restored/.exec(said(run) ?? "")?.[1]);
  assert.ok(restored.includes("1"), restored.join(" and "));
  for (const run of after) assert.doesNotMatch(run.stderr, /warning/);
});

test("mounts of several targets are restored and saved together", async () => {
  await using registry = await startRegistry();
  const store = { repository: `${registry.host}/team/app`, insecure: true, cache: { mounts: true } };
  await using site = await makeSite(["one", "two", "three"].map(stage).join(""), store);
  const put = (bytes: number) =>
    site.put({ target: "one", additional_targets: ["two"], build_args: { bytes } });
  assert.equal(said(await put(1000)), "cache mounts: 0 restored, 0 B; 2 saved, 2.0 kB");
  const second = await put(1001);
  assert.equal(said(second), "cache mounts: 2 restored, 2.0 kB; 2 saved, 2.0 kB");
  assert.match(
    second.stderr,
    /^cache mounts: 2 restored.*; steps [\d.]+ s (faster|slower), [\d.]+ s lost to copying$/m,
  );
  const got = await site.get(second);
  for (const folder of [got, join(got, "two")]) assert.equal(await result(folder), "noise\n");
});

test("mounts are kept in a bucket, beside the layers and under a name of their own", async () => {
  await using bucket = await startBucket();
  await using site = await makeSite(counting("--mount=type=cache,target=/m"));
  const cache = {
    type: "s3",
    bucket: "bucket",
    region: "local",
    endpoint_url: bucket.url,
    use_path_style: "true",
    access_key_id: "id",
    secret_access_key: "key",
    mounts: true,
  };
  assert.deepEqual(await rounds(site, "1", { cache }), ["1"]);
  assert.deepEqual(await rounds(site, "2", { cache }), ["1", "2"]);
  const manifests = [...bucket.objects.keys()].filter((key) => key.startsWith("manifests/"));
  assert.deepEqual(manifests.toSorted(), ["manifests/buildkit", "manifests/buildkit.mounts"]);
});
