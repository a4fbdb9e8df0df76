import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { makeSite } from "../support/runs/put-and-get.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import { assertFailedCleanly, type Run, versionOf } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import {
  answers,
  asks,
  type Fault,
  type FaultProxy,
  missesBlob,
  startFaultProxy,
} from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [registry, daemon] = await untilTestsEnd(startRegistry(), startBuildkitd());

interface Pushed {
  readonly run: Run;
  readonly proxy: FaultProxy;
  /** Tags that were moved. */
  readonly tagged: readonly string[];
}

const puts = (proxy: FaultProxy, path: RegExp) =>
  proxy.requests.filter((request) => request.method === "PUT" && path.test(request.path));

/** A put of half a megabyte that nothing makes smaller, through a proxy, with a tag. */
async function pushThrough(retry: number, faults: readonly Fault[], params: object = {}): Promise<Pushed> {
  await using proxy = await startFaultProxy(registry.url);
  const name = `app-${crypto.randomUUID()}`;
  await using site = await makeSite("", { repository: `${proxy.host}/${name}`, insecure: true });
  const noise = randomFrom(Number.parseInt(name.slice(4, 12), 16));
  await writeFile(join(site.inputs, "app/noise"), randomBytes(noise, 1 << 19));
  proxy.inject(...faults);
  const run = await site.put(
    { dockerfile_inline: "FROM scratch\nCOPY noise /\n", tags: ["one", "two"], ...params },
    { buildkit: { address: daemon.address }, timeouts: { stall: 5, retry } },
  );
  const moved = puts(proxy, /\/manifests\/(?!sha256:)/).map(({ path }) => path.replace(/.*\//, ""));
  return { run, proxy, tagged: moved };
}

const blob = asks(/\/blobs\/uploads\/./, "PUT");
const reset: Fault["happens"] = (faulty) => faulty.reset();
const busy = answers(429, { headers: { "retry-after": "1" } });

const passing: readonly (readonly [string, Fault])[] = [
  ["resets of blobs", { when: blob, times: 3, happens: reset }],
  [
    "503 to blobs, for longer than BuildKit itself bears it",
    { when: blob, times: 12, happens: answers(503) },
  ],
  ["a CDN's 520 to blobs", { when: blob, times: 12, happens: answers(520) }],
  ["429 to a blob", { when: blob, times: 1, happens: busy }],
  ["a reset of the manifest", { when: asks(/manifests\/sha256:/, "PUT"), times: 1, happens: reset }],
  [
    "a manifest whose blobs the registry doesn't see for a moment",
    { when: asks(/manifests\/sha256:/, "PUT"), times: 1, happens: missesBlob },
  ],
  ["503 to a tag", { when: asks(/manifests\/two/, "PUT"), times: 2, happens: answers(503) }],
  ["a CDN's 529 to a tag", { when: asks(/manifests\/two/, "PUT"), times: 2, happens: answers(529) }],
  ["429 with Retry-After to a tag", { when: asks(/manifests\/two/, "PUT"), times: 1, happens: busy }],
  ["a reset of a tag", { when: asks(/manifests\/two/, "PUT"), times: 1, happens: reset }],
];
for (const [what, fault] of passing) {
  test(`a put bears ${what}, says so, and sets the build's own tag last`, async () => {
    const { run, tagged } = await pushThrough(30, [fault]);
    const { version } = versionOf(run);
    assert.deepEqual([...new Set(tagged)], ["one", "two", `build-${version.digest.slice("sha256:".length)}`]);
    // BuildKit sends again at once after 429, without a word.
    if (what !== "429 to a blob")
      assert.match(run.stderr, /retrying in|pushing again for up to|retrying for up to/);
    assert.match(run.stdout, /"steps","value":"1 run, 0 cached"/);
  });
}

test("a put that can't push moves no tag, tries until its time is up, and says what the registry answers", async () => {
  const { run, tagged } = await pushThrough(4, [{ when: blob, happens: answers(503) }]);
  assertFailedCleanly(run, /error: failed to push \S+: the registry answers 503 Service Unavailable$/m);
  assert.match(run.stderr, /This may pass: pushing again for up to 4\.0 s/);
  assert.doesNotMatch(run.stderr, /_state=/);
  assert.deepEqual(tagged, []);
});

for (const status of [401, 403, 404]) {
  test(`${status} to a blob or a tag isn't tried again`, async () => {
    const body = JSON.stringify({ errors: [{ code: "DENIED", message: "over quota" }] });
    const refused = await pushThrough(30, [{ when: blob, happens: answers(status, { body }) }]);
    assertFailedCleanly(refused.run, /failed to push|was answered with/);
    assert.doesNotMatch(refused.run.stderr, /again for up to|retrying in/);
    assert.deepEqual(refused.tagged, []);
    const tag = asks(/manifests\/two/, "PUT");
    const untagged = await pushThrough(30, [{ when: tag, happens: answers(status, { body }) }]);
    assertFailedCleanly(
      untagged.run,
      status === 401 ? /answers 401/ : new RegExp(`manifests/two was answered with ${status}`),
    );
    assert.deepEqual(untagged.tagged, ["one", "two"]);
  });
}

test("a tag that was set although the answer was 500, or none, counts as set", async () => {
  for (const happens of [answers(500), reset]) {
    const { run, proxy } = await pushThrough(10, [
      {
        when: asks(/manifests\/two/, "PUT"),
        happens: async (faulty) => {
          await faulty.forward();
          await happens(faulty);
        },
      },
    ]);
    versionOf(run);
    assert.equal(puts(proxy, /manifests\/two/).length, 1);
    assert.ok(proxy.requests.some(({ method, path }) => method === "HEAD" && path.endsWith("/two")));
  }
});
