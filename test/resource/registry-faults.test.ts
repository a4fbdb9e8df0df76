import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { randomLayer, storeImage } from "../support/images/stored-image.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import {
  answers,
  asks,
  breaksAfter,
  changesBody,
  type Fault,
  type FaultProxy,
  startFaultProxy,
} from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const size = 3_000_000;
const [registry] = await untilTestsEnd(startRegistry());
const stored = await storeImage(`${registry.host}/app`, { layers: [randomLayer(size)] });

const layer = (request: { readonly method: string; readonly path: string }) =>
  request.method === "GET" && request.path.includes(stored.image.layers[0]?.descriptor.digest ?? "none");

interface Got {
  readonly run: Run;
  readonly proxy: FaultProxy;
  readonly delivered: readonly string[];
}

/** A get through the proxy, with its root filesystem unpacked and short timeouts. */
async function getThrough(proxy: FaultProxy, faults: readonly Fault[]): Promise<Got> {
  await using folder = await createPrivateFolder("test-faults");
  proxy.inject(...faults);
  const run = await runResource("in", {
    args: [join(folder.path, "image")],
    stdin: {
      source: {
        repository: `${proxy.host}/app`,
        insecure: true,
        timeouts: { stall: 1, retry: 3 },
      },
      version: stored.version,
      params: { unpack_rootfs: true, image_tar: false },
    },
    env: { NO_COLOR: "1" },
  });
  const delivered = await readdir(join(folder.path, "image")).catch(() => []);
  if (run.status === 0) {
    const data = await readFile(join(folder.path, "image/rootfs/data-1"));
    assert.equal(data.length, size);
  }
  return { run, proxy, delivered };
}

interface Row {
  readonly what: string;
  readonly faults: () => readonly Fault[];
  /** The message of a refusal; what recovers has none. */
  readonly refused?: RegExp;
  /** What stderr says of a recovery. */
  readonly said?: RegExp;
  readonly also?: (got: Got) => void;
  /** Nothing may be asked for a second time: what is wrong doesn't pass. */
  readonly once?: true;
}

/**
 * Milliseconds. A step whose timeouts are the source's (1 and 3 s) ends before this on a busy machine too; one with
 * the default timeouts (30 and 120 s) does not.
 */
const ownTimeouts = 25_000;

const retried = (got: Got, path: RegExp) =>
  got.proxy.requests.filter((request) => request.method === "GET" && path.test(request.path)).length;

/** What was asked for more than once. */
function askedAgain({ proxy }: Got): readonly string[] {
  const asked = proxy.requests.map(
    ({ method, path, headers }) => `${method} ${path} ${headers.range ?? "whole"}`,
  );
  return asked.filter((request, at) => asked.indexOf(request) !== at);
}

const rows: readonly Row[] = [
  {
    what: "a blob of the right length with other bytes",
    faults: () => [{ when: layer, happens: changesBody((body) => Buffer.alloc(body.length, 7)) }],
    refused: /blob sha256:\w+ is not what its descriptor says: its bytes have digest sha256:/,
    once: true,
  },
  {
    what: "a blob that is short",
    faults: () => [{ when: layer, happens: answers(200, { body: Buffer.alloc(1000) }) }],
    refused: /it ends after 1000 of its \d+ bytes/,
  },
  {
    what: "a blob that is longer",
    faults: () => [{ when: layer, happens: changesBody((body) => Buffer.concat([body, Buffer.from("x")])) }],
    refused: /it is longer than its \d+ bytes/,
    once: true,
  },
  {
    what: "a blob that is empty",
    faults: () => [{ when: layer, happens: answers(200) }],
    refused: /it ends after 0 of its \d+ bytes/,
    once: true,
  },
  {
    what: "HTML instead of the build's index",
    faults: () => [
      {
        when: asks("manifest"),
        happens: answers(200, {
          headers: { "content-type": "text/html" },
          body: "<html>Please log in</html>",
        }),
      },
    ],
    refused: /expected JSON, found "<html>Please log in<\/html>"/,
    once: true,
  },
  {
    what: "HTML instead of a blob",
    faults: () => [{ when: layer, happens: answers(200, { body: "<html>Please log in</html>" }) }],
    refused: /it ends after 26 of its \d+ bytes/,
    once: true,
  },
  {
    what: "a manifest of another media type than its descriptor's",
    faults: () => [
      {
        when: asks(/\/manifests\/sha256:/),
        happens: changesBody(() => Buffer.from('{"schemaVersion":2,"mediaType":"text/plain"}'), {
          "docker-content-digest": "none",
        }),
      },
    ],
    refused: /is not what its descriptor says/,
    once: true,
  },
  {
    what: "an index by another media type",
    faults: () => [
      {
        when: asks(/\/manifests\/build-/),
        happens: changesBody((body) => Buffer.from(body.toString().replace("image.index", "image.other")), {
          "docker-content-digest": "none",
        }),
      },
    ],
    refused: /mediaType/,
    once: true,
  },
  {
    what: "a manifest of 8 GiB, as its Content-Length says",
    faults: () => [
      {
        when: asks("manifest"),
        happens: ({ response }) => {
          response.writeHead(200, { "content-length": String(8 * 1024 ** 3) });
          response.write("{");
        },
      },
    ],
    refused: /the answer has more than 4194304 bytes/,
    once: true,
  },
  {
    what: "a manifest without end, in chunks",
    faults: () => [
      {
        when: asks("manifest"),
        happens: ({ response }) => {
          const more = () => {
            while (!response.destroyed && response.write(Buffer.alloc(65_536, " ")));
          };
          response.writeHead(200);
          response.on("drain", more);
          more();
        },
      },
    ],
    refused: /the answer has more than 4194304 bytes/,
    once: true,
  },
  {
    what: "a digest in the answer's head that its body doesn't have",
    faults: () => [
      {
        when: asks(/\/manifests\/build-/),
        happens: changesBody((body) => body, { "docker-content-digest": `sha256:${"0".repeat(64)}` }),
      },
    ],
    refused: /the registry gives it digest sha256:0{64}, but its bytes have sha256:/,
    once: true,
  },
  {
    what: "a tag that moves after it was resolved",
    faults: () => [
      { when: asks(/\/manifests\/build-/), times: 1, happens: changesBody((body) => body) },
      { when: asks(/\/manifests\/build-/), happens: answers(200, { body: "{}" }) },
    ],
    once: true,
  },
  {
    what: "a connection reset in the middle of a blob",
    faults: () => [{ when: layer, times: 2, happens: breaksAfter(1_000_000, "reset") }],
    said: /warning: repository .*the connection was cut; retrying for up to 3 s/,
    also: ({ proxy }) => {
      const ranges = proxy.requests.filter(layer).map(({ headers }) => headers.range ?? "all");
      assert.equal(ranges[0], "all");
      for (const range of ranges.slice(1)) assert.match(range, /^bytes=[1-9]\d*-$/);
    },
  },
  {
    what: "a connection closed in the middle of a blob",
    faults: () => [{ when: layer, times: 1, happens: breaksAfter(1_000_000, "close") }],
    said: /the connection was cut; retrying/,
  },
  {
    what: "a blob whose length isn't told, and that ends early",
    faults: () => [
      {
        when: layer,
        times: 1,
        happens: async (faulty) => {
          const { body } = await faulty.forward();
          faulty.response.useChunkedEncodingByDefault = false;
          faulty.response.writeHead(200, { connection: "close" });
          faulty.response.end(body.subarray(0, 1_000_000));
        },
      },
    ],
    said: /the answer ends after 1000000 of \d+ bytes; retrying/,
  },
  {
    what: "a server that sends all of a blob again when asked for its rest",
    faults: () => [
      {
        when: (request) => layer(request) && request.headers.range === undefined,
        times: 1,
        happens: breaksAfter(1_000_000, "reset"),
      },
      {
        when: layer,
        happens: async (faulty) => {
          const { body } = await faulty.forward({ range: "bytes=0-" });
          faulty.response.writeHead(200, { "content-length": String(body.length) });
          faulty.response.end(body);
        },
      },
    ],
  },
  {
    what: "a server that stalls in the middle of a blob",
    faults: () => [{ when: layer, times: 1, happens: breaksAfter(1_000_000, "stall") }],
    said: /almost nothing came within 1 s; retrying/,
  },
  {
    what: "a server that trickles for ever",
    faults: () => [
      {
        when: layer,
        happens: async (faulty) => {
          const { body } = await faulty.forward();
          faulty.response.writeHead(200, { "content-length": String(body.length) });
          let at = 0;
          const timer = setInterval(() => faulty.response.write(body.subarray(at, ++at)), 50);
          faulty.response.on("close", () => clearInterval(timer));
        },
      },
    ],
    refused: /almost nothing came within 1 s; .* \(tried for \d s\)/,
  },
  {
    what: "a server that takes the request and never answers",
    faults: () => [{ when: asks("manifest"), happens: () => {} }],
    refused: /no answer within 1 s/,
  },
  {
    what: "429 with Retry-After",
    faults: () => [
      { when: asks("manifest"), times: 1, happens: answers(429, { headers: { "retry-after": "1" } }) },
    ],
    said: /was answered with 429; retrying for up to 3 s/,
    also: ({ run }) => assert.ok(run.milliseconds > 1_000),
  },
  {
    what: "429 that asks to wait for a day",
    faults: () => [
      { when: asks("manifest"), happens: answers(429, { headers: { "retry-after": "86400" } }) },
    ],
    refused: /was answered with 429; run the step again later \(tried for 3 s\)/,
    also: (got) => assert.equal(retried(got, /manifests\/build-/), 2),
  },
  {
    what: "a wait that is longer than its own pauses, and is waited for before it asks again",
    faults: () => [
      { when: asks("manifest"), times: 1, happens: answers(503, { headers: { "retry-after": "2" } }) },
    ],
    also: (got) => {
      assert.ok(got.run.milliseconds > 2_000);
      assert.equal(retried(got, /manifests\/build-/), 2);
    },
  },
  {
    what: "what CDNs answer for a registry that is away: 520, 522 and 529",
    faults: () =>
      [520, 522, 529].map((status) => ({ when: asks("manifest"), times: 1, happens: answers(status) })),
    said: /was answered with 520; retrying for up to 3 s/,
  },
  {
    what: "408 and 501",
    faults: () =>
      [408, 501].map((status) => ({ when: asks("manifest"), times: 1, happens: answers(status) })),
  },
  {
    what: "503 three times, to everything",
    faults: () => [{ when: () => true, times: 3, happens: answers(503) }],
  },
  {
    what: "500 for ever",
    faults: () => [{ when: asks("manifest"), happens: answers(500, { body: "x".repeat(100_000) }) }],
    refused: /was answered with 500; run the step again later \(tried for \d s\)/,
  },
  {
    what: "403",
    faults: () => [
      {
        when: asks("manifest"),
        happens: answers(403, { body: '{"errors":[{"code":"DENIED","message":"not\\u001b[31m yours"}]}' }),
      },
    ],
    refused: /was answered with 403 \(DENIED: not \[31m yours\); this user may not do that/,
    also: (got) => assert.equal(retried(got, /manifests/), 1),
    once: true,
  },
  {
    what: "a build that is no longer there",
    faults: () => [{ when: asks(/\/manifests\/build-/), happens: answers(404) }],
    refused:
      /build sha256:\w{64} is no longer in repository .*\/app: it was deleted there, by a person or by a rule/,
    also: (got) => assert.equal(retried(got, /manifests/), 1),
    once: true,
  },
  {
    what: "a layer that was deleted",
    faults: () => [{ when: layer, happens: answers(404) }],
    refused:
      /repository \S+\/app: sha256:\w{64}, a part of this build, was deleted there, by garbage collection/,
    once: true,
  },
  {
    what: "an image whose manifest was deleted",
    faults: () => [{ when: asks(/\/manifests\/sha256:/), happens: answers(404) }],
    refused: /sha256:\w{64}, a part of this build, was deleted there, .* and run the put again/,
    once: true,
  },
];

for (const { what, faults, refused, said, also, once } of rows) {
  test(`a get ${refused === undefined ? "recovers from" : "refuses"} ${what}`, async (context) => {
    await using proxy = await startFaultProxy(registry.url);
    const got = await getThrough(proxy, faults());
    if (refused === undefined) assert.deepEqual(versionOf(got.run).version, stored.version);
    else {
      assertFailedCleanly(got.run, refused);
      assert.deepEqual(got.delivered, []);
    }
    if (said !== undefined) assert.match(got.run.stderr, said);
    assert.ok((got.run.stderr.match(/retrying/g) ?? []).length <= 1, got.run.stderr);
    also?.(got);
    if (once) assert.deepEqual(askedAgain(got), []);
    assert.ok(got.run.milliseconds < ownTimeouts, `it took ${got.run.milliseconds} ms`);
    context.diagnostic(`${Math.round(got.run.milliseconds)} ms`);
  });
}
