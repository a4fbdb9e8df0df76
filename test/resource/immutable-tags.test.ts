import assert from "node:assert/strict";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { digestOf } from "../../src/image/digest.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { answers, type Fault, startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [registry, daemon] = await untilTestsEnd(startRegistry(), startBuildkitd());

const manifestTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
].join(", ");

/** A registry that lets no tag move, as ECR with immutable tags; a strict one refuses a tag's own manifest too. */
function immutableTags(kind: "lenient" | "strict", status: number): Fault {
  return {
    when: ({ method, path }) => method === "PUT" && /\/manifests\/(?!sha256:)/.test(path),
    happens: async (faulty) => {
      const { path } = faulty.request;
      const current = await fetch(`${registry.url}${path}`, { headers: { accept: manifestTypes } });
      const bytes = Buffer.from(await current.arrayBuffer());
      const put = await faulty.body();
      if (current.status === 200 && (kind === "strict" || digestOf(bytes) !== digestOf(put))) {
        const message = "The image tag already exists and cannot be overwritten";
        await answers(status, { body: JSON.stringify({ errors: [{ code: "TAG_INVALID", message }] }) })(
          faulty,
        );
        return;
      }
      const answer = await faulty.forward();
      faulty.response.writeHead(answer.status, answer.headers);
      faulty.response.end(answer.body);
    },
  };
}

async function get(repository: string, version: unknown): Promise<Run> {
  await using folder = await createPrivateFolder("test-get");
  const stdin = { source: { repository, insecure: true }, version };
  return await runResource("in", { args: [folder.path], stdin, env: { NO_COLOR: "1" } });
}

for (const [kind, status] of [
  ["lenient", 400],
  ["strict", 412],
  ["strict", 403],
] as const) {
  test(`puts of A, A, B and A succeed where tags never move (${kind}, ${status}), and their gets too`, async () => {
    await using proxy = await startFaultProxy(registry.url);
    proxy.inject(immutableTags(kind, status));
    const repository = `${proxy.host}/app-${crypto.randomUUID()}`;
    const put = (content: string, params: object = {}) =>
      smallPut({
        source: { repository, insecure: true, buildkit: { address: daemon.address } },
        dockerfile: `FROM scratch\nCOPY Dockerfile /${content}\n`,
        params: { tags: [content], reproducible: true, ...params },
      });
    const [first, second, other, third] = [await put("a"), await put("a"), await put("b"), await put("a")];
    const versions = [first, second, other, third].map((run) => versionOf(run).version.digest);
    assert.deepEqual(versions, [versions[0], versions[0], versions[2], versions[0]]);
    assert.notEqual(versions[0], versions[2]);
    const stored = versionOf(await get(repository, versionOf(first).version)).metadata;
    for (const run of [second, third]) {
      const again = versionOf(await get(repository, versionOf(run).version)).metadata;
      assert.deepEqual(again, stored, "a build that is left alone keeps the first put's metadata");
    }
    versionOf(await get(repository, versionOf(other).version));

    const moved = await put("c", { tags: ["b"] });
    assertFailedCleanly(
      moved,
      /tag b leads to sha256:\w+, and the registry doesn't let it move to sha256:\w+/,
    );
    assert.match(moved.stderr, /give each put tags of its own \(version_file, tags_file\)/);
    versionOf(await put("c", { tags: ["c"] }));
  });
}

test("an image with other attestations counts as unchanged where tags never move", async () => {
  await using proxy = await startFaultProxy(registry.url);
  proxy.inject(immutableTags("lenient", 400));
  const repository = `${proxy.host}/app-${crypto.randomUUID()}`;
  const put = () =>
    smallPut({
      source: { repository, insecure: true, buildkit: { address: daemon.address } },
      dockerfile: `FROM scratch\nCOPY Dockerfile /${repository}\n`,
      params: { tags: ["one"], provenance: "max" },
    });
  const digests = [await put(), await put()].map((run) => versionOf(run).version.digest);
  assert.equal(digests[0], digests[1]);
});

test("another compression of a stored image can't replace it where tags never move, and that is told", async () => {
  await using proxy = await startFaultProxy(registry.url);
  proxy.inject(immutableTags("lenient", 400));
  const repository = `${proxy.host}/app-${crypto.randomUUID()}`;
  const put = (compression: unknown) =>
    smallPut({
      source: { repository, insecure: true, buildkit: { address: daemon.address } },
      dockerfile: `FROM scratch\nCOPY Dockerfile /${repository}\n`,
      params: { compression },
    });
  const first = await put("gzip");
  assertFailedCleanly(
    await put({ type: "zstd", force: true }),
    /tag build-\w{64} leads to .* This version is stored with other manifests/,
  );
  versionOf(await get(repository, versionOf(first).version));
});
