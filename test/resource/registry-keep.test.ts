import assert from "node:assert/strict";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { buildName } from "../../src/image/build-version.ts";
import type { Digest } from "../../src/image/digest.ts";
import { ageBuild, buildTags } from "../support/images/aged-build.ts";
import { regctl } from "../support/images/regctl.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { smallPut, startSmallPut } from "../support/runs/small-put.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { answers, asks, changesBody, type Fault, startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startMemoryRegistry, startRegistry } from "../support/servers/registry.ts";

type Version = { readonly digest: string };

const [daemon] = await untilTestsEnd(startBuildkitd());

/** Puts into one repository; the content of the image is the version. */
function putter(host: string, more: object = {}) {
  return (content: string, { params = {}, source = {} }: { params?: object; source?: object } = {}) =>
    smallPut({
      source: {
        repository: `${host}/app`,
        insecure: true,
        buildkit: { address: daemon.address },
        ...more,
        ...source,
      },
      dockerfile: `FROM scratch\nCOPY Dockerfile /${content}\n`,
      params: { reproducible: true, ...params },
    });
}

async function get(host: string, version: Version, source: object = {}): Promise<Run> {
  await using folder = await createPrivateFolder("test-get");
  const stdin = { source: { repository: `${host}/app`, insecure: true, ...source }, version };
  return await runResource("in", { args: [folder.path], stdin, env: { NO_COLOR: "1" } });
}

const nameOf = ({ digest }: Version) => buildName({ digest: digest as Digest, targets: [] });

for (const [kind, start] of [
  ["docker-registry", startRegistry],
  ["another kind of registry", startMemoryRegistry],
] as const) {
  test(`keep removes old builds of the same variant from ${kind}, and leaves images with tags, other variants and young builds`, async () => {
    await using registry = await start();
    const put = putter(registry.host);
    const versions: Version[] = [];
    for (const [content, options] of [
      ["a", { params: { tags: ["mine"] } }],
      ["b", {}],
      ["slim", { source: { variant: "slim" } }],
      ["c", {}],
      ["young", {}],
    ] as const) {
      versions.push(versionOf(await put(content, options)).version);
    }
    const [a, b, slim, c, young] = versions as [Version, Version, Version, Version, Version];
    for (const [version, days] of [
      [a, 9],
      [b, 8],
      [slim, 20],
      [c, 3],
    ] as const) {
      await ageBuild(registry.url, "app", version, days);
    }
    const manifestOf = (reference: string) =>
      fetch(`${registry.url}/v2/app/manifests/${reference}`, {
        headers: { accept: "application/vnd.oci.image.index.v1+json" },
      });
    const stored = await manifestOf(nameOf(b));
    const record = /"org\.concourse-ci\.oci-build\.record":/;
    const indexDigest = stored.headers.get("docker-content-digest") ?? "none";
    const index = await stored.text();
    assert.match(index, record);
    const keep = { builds: 1, days: 7 };
    const run = await put("new", { source: { keep } });
    assert.match(run.stderr, /keep: removed 2 old builds from repository \S+\/app/);
    const newest = versionOf(run).version;
    const left = [slim, c, young, newest].map(nameOf).toSorted();
    assert.deepEqual(await buildTags(registry.url, "app"), left);
    // The record of a build is in its index, and goes with it: nothing else refers to the image.
    assert.equal((await manifestOf(indexDigest)).status, 404);
    const digests = [indexDigest, ...(index.match(/sha256:[0-9a-f]{64}/g) ?? [])];
    for (const digest of digests) {
      const referrers = await fetch(`${registry.url}/v2/app/referrers/${digest}`);
      const { manifests = [] } = referrers.ok ? ((await referrers.json()) as { manifests?: unknown[] }) : {};
      assert.deepEqual(manifests, [], digest);
    }
    const { tags } = (await (await fetch(`${registry.url}/v2/app/tags/list`)).json()) as { tags: string[] };
    assert.deepEqual(tags.toSorted(), [...left, "mine"].toSorted());
    for (const version of [slim, c, young, newest]) versionOf(await get(registry.host, version));
    assertFailedCleanly(
      await get(registry.host, b, { keep }),
      /build sha256:\w+ is no longer in repository \S+: probably because of keep: \{builds: 1, days: 7\} in the source/,
    );
    assertFailedCleanly(await get(registry.host, b), /it was deleted there, by a person or by a rule/);
    const mine = await regctl(registry.host, ["image", "digest", `${registry.host}/app:mine`]);
    assert.match(mine, /^sha256:/);

    const again = await put("new", { source: { keep: { builds: 2 } } });
    assert.match(again.stderr, /keep: removed 1 old build from/);
    versionOf(await get(registry.host, newest));
    const idle = await put("new", { source: { keep: { builds: 2 } } });
    assert.doesNotMatch(idle.stderr, /keep:/);
  });
}

test("twenty puts at once, half of which store again what is about to be removed, leave every build that they answered", async () => {
  await using registry = await startRegistry();
  const put = putter(registry.host);
  const contents = Array.from({ length: 10 }, (_, index) => `old-${index}`);
  const old = await Promise.all(contents.map(async (content) => versionOf(await put(content)).version));
  const unused = await Promise.all(["x", "y"].map(async (content) => versionOf(await put(content)).version));
  for (const version of [...old, ...unused]) await ageBuild(registry.url, "app", version, 5);
  const source = { keep: { builds: 1 } };
  const names = [...contents, ...contents.map((content) => `new-${content}`)];
  const runs = await Promise.all(names.map((content) => put(content, { source })));
  const answered = runs.map((run) => versionOf(run).version);
  versionOf(await put("last", { source }));
  const kept = await buildTags(registry.url, "app");
  assert.deepEqual(
    answered.map(nameOf).filter((name) => !kept.includes(name)),
    [],
  );
  for (const version of unused) assert.ok(!kept.includes(nameOf(version)));
  assert.equal(kept.length, 21, "no lease is left");
  for (const version of answered.slice(0, 3)) versionOf(await get(registry.host, version));
});

for (const answered of ["before", "after"] as const) {
  test(`a build that is stored again while another put removes what its tag led to before stays, if its tag is answered ${answered} the removal has ended`, async () => {
    await using registry = await startRegistry();
    await using proxy = await startFaultProxy(registry.url);
    const put = putter(proxy.host);
    const { version } = versionOf(await put("a"));
    await ageBuild(registry.url, "app", version, 5);
    const tag = nameOf(version);
    const oldDigest = await digestOfTag(registry.url, tag);
    const isSetAgain = Promise.withResolvers<void>();
    const isRemoved = Promise.withResolvers<void>();
    let restored: Promise<Run> | undefined;
    let sets = 0;
    proxy.inject(
      {
        // The registry has looked which tags lead there, and takes them along only after another put has moved one.
        when: ({ method, path }) =>
          method === "DELETE" && path.endsWith(`/manifests/${oldDigest}`) && restored === undefined,
        happens: async (faulty) => {
          restored = put("a", { source: { keep: { builds: 1 } } });
          await isSetAgain.promise;
          const digest = await digestOfTag(registry.url, tag);
          await fetch(`${registry.url}/v2/app/manifests/${digest}`, { method: "DELETE" });
          await answers(202)(faulty);
        },
      },
      {
        when: asks(new RegExp(`/manifests/${tag}$`), "PUT"),
        happens: async (faulty) => {
          const answer = await faulty.forward();
          sets++;
          isSetAgain.resolve();
          if (answered === "after") await isRemoved.promise;
          faulty.response.writeHead(answer.status, answer.headers);
          faulty.response.end(answer.body);
        },
      },
    );
    versionOf(await put("b", { source: { keep: { builds: 1 } } }));
    isRemoved.resolve();
    assert.ok(restored !== undefined, "the old build was removed");
    versionOf(await restored);
    assert.ok(sets >= 2, `its tag was set ${sets} times`);
    versionOf(await get(proxy.host, version));
  });
}

/** Stores a build twice, the second time where its tag isn't shown that often after it was set. */
async function putUnseen(hidden: number, ...more: readonly Fault[]) {
  await using registry = await startRegistry();
  await using proxy = await startFaultProxy(registry.url);
  const put = putter(proxy.host);
  const tag = nameOf(versionOf(await put("a")).version);
  const path = new RegExp(`/manifests/${tag}$`);
  let sets = 0;
  proxy.inject(
    {
      when: (request) => sets > 0 && asks(path, "HEAD")(request),
      times: hidden,
      happens: answers(404),
    },
    {
      when: asks(path, "PUT"),
      happens: (faulty) => {
        sets++;
        return changesBody((body) => body)(faulty);
      },
    },
    ...more,
  );
  const run = await put("a");
  return { run, tag, sets };
}

test("a put waits for a registry that shows its tag only after some requests, and doesn't set it again", async () => {
  const { run, sets } = await putUnseen(3);
  versionOf(run);
  assert.equal(sets, 1);
  assert.doesNotMatch(run.stderr, /warning/);
});

test("a put sets its tag again if a registry still doesn't show it", async () => {
  const { run, sets } = await putUnseen(6);
  versionOf(run);
  assert.equal(sets, 2);
  assert.doesNotMatch(run.stderr, /warning/);
});

test("a put warns of a registry that never shows its tag, if no other put may have removed it", async () => {
  const { run, tag, sets } = await putUnseen(Number.POSITIVE_INFINITY);
  versionOf(run);
  assert.match(
    run.stderr,
    new RegExp(
      `warning: repository \\S+/app: tag ${tag} was set ${sets} times, and each time .* may only show it later`,
    ),
  );
});

test("a put fails if its tag is gone each time that it was set and other puts were removing builds", async () => {
  const lease = `build-${"0".repeat(32)}${"a".repeat(32)}`;
  const annotations = { "org.concourse-ci.oci-build.removing-since": new Date().toISOString() };
  const held = { headers: { "content-type": indexType }, body: JSON.stringify({ annotations }) };
  let asked = 0;
  const { run, tag, sets } = await putUnseen(
    Number.POSITIVE_INFINITY,
    { when: asks(/\/tags\/list/), happens: answers(200, { body: JSON.stringify({ tags: [lease] }) }) },
    {
      // Held when it is looked for, and released when it is waited for.
      when: asks(new RegExp(`/manifests/${lease}$`)),
      happens: (faulty) => (asked++ % 2 === 0 ? answers(200, held)(faulty) : answers(404)(faulty)),
    },
  );
  assertFailedCleanly(
    run,
    new RegExp(`tag ${tag} was set ${sets} times, and each time the registry then had`),
  );
  assert.ok(sets > 1);
});

const indexType = "application/vnd.oci.image.index.v1+json";

async function digestOfTag(registry: string, tag: string): Promise<string> {
  const answer = await fetch(`${registry}/v2/app/manifests/${tag}`, { headers: { accept: indexType } });
  await answer.arrayBuffer();
  return answer.headers.get("docker-content-digest") ?? "none";
}

for (const [status, code] of [
  [405, "UNSUPPORTED"],
  [403, "DENIED"],
] as const) {
  test(`a registry that answers ${status} to deletions is told once, and the put succeeds`, async () => {
    await using registry = await startRegistry();
    await using proxy = await startFaultProxy(registry.url);
    const put = putter(proxy.host);
    for (const content of ["a", "b", "c"]) {
      await ageBuild(registry.url, "app", versionOf(await put(content)).version, 5);
    }
    proxy.inject({
      when: asks(/\/manifests\//, "DELETE"),
      happens: answers(status, { body: JSON.stringify({ errors: [{ code, message: "no" }] }) }),
    });
    const run = await put("new", { source: { keep: { builds: 1 } } });
    const { version } = versionOf(run);
    assert.equal(run.stderr.match(/warning: keep: old builds stay in repository/g)?.length, 1);
    assert.match(run.stderr, /give the registry a rule for tags with build- \(docs\/cleaning-up\.md\)/);
    assert.equal((await buildTags(registry.url, "app")).length, 4, "no lease is left");
    versionOf(await get(proxy.host, version));
  });
}

for (const [what, failing] of [
  ["an old build", 2],
  ["its lease", 3],
] as const) {
  test(`a put whose deletion of ${what} is answered with 500 once leaves no lease`, async () => {
    await using registry = await startRegistry();
    await using proxy = await startFaultProxy(registry.url);
    const put = putter(proxy.host);
    await ageBuild(registry.url, "app", versionOf(await put("a")).version, 5);
    // The first deletion asks whether the registry deletes at all; each other one is a build's or the lease's.
    let deletions = 0;
    proxy.inject({
      when: ({ method, path }) =>
        method === "DELETE" && path.includes("/manifests/") && ++deletions === failing,
      happens: answers(500, { body: "busy" }),
    });
    const run = await put("new", { source: { keep: { builds: 1 } } });
    versionOf(run);
    assert.ok(deletions > failing, `${deletions} deletions:\n${run.stderr}`);
    const left = await buildTags(registry.url, "app");
    assert.deepEqual(
      left.filter((tag) => tag.startsWith(`build-${"0".repeat(32)}`)),
      [],
    );
    assert.equal(left.length, failing === 2 ? 2 : 1);
  });
}

test("a put that is aborted while it removes builds gives its lease back", async () => {
  await using registry = await startRegistry();
  await using proxy = await startFaultProxy(registry.url);
  const put = putter(proxy.host);
  for (const content of ["a", "b"]) {
    await ageBuild(registry.url, "app", versionOf(await put(content)).version, 5);
  }
  const isDeleting = Promise.withResolvers<void>();
  const mayEnd = Promise.withResolvers<void>();
  let deletions = 0;
  proxy.inject({
    when: ({ method, path }) => method === "DELETE" && path.includes("/manifests/"),
    happens: async (faulty) => {
      // The first asks whether the registry deletes at all.
      if (++deletions === 2) {
        isDeleting.resolve();
        await mayEnd.promise;
      }
      const answer = await faulty.forward();
      faulty.response.writeHead(answer.status, answer.headers);
      faulty.response.end(answer.body);
    },
  });
  const started = await startSmallPut({
    source: {
      repository: `${proxy.host}/app`,
      insecure: true,
      buildkit: { address: daemon.address },
      keep: { builds: 1 },
    },
    dockerfile: "FROM scratch\nCOPY Dockerfile /new\n",
  });
  await isDeleting.promise;
  started.kill("SIGTERM");
  mayEnd.resolve();
  const run = await started.result;
  assert.ok(run.status === 143 || run.status === 0, run.output);
  const left = await buildTags(registry.url, "app");
  assert.deepEqual(
    left.filter((tag) => tag.startsWith(`build-${"0".repeat(32)}`)),
    [],
    "a lease is left",
  );
  assert.ok(left.length === 1 || left.length === 2, left.join());
});
