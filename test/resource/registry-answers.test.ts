import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { ageBuild, buildTags } from "../support/images/aged-build.ts";
import { randomLayer, storeImage } from "../support/images/stored-image.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { createAuthority } from "../support/servers/certificates.ts";
import {
  answers,
  asks,
  breaksAfter,
  type Fault,
  type FaultProxy,
  startFaultProxy,
} from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [registry, daemon] = await untilTestsEnd(startRegistry(), startBuildkitd());

async function get(host: string, version: unknown, more: object = {}): Promise<Run> {
  await using folder = await createPrivateFolder("test-get");
  const timeouts = { stall: 2, retry: 5 };
  const stdin = { source: { repository: `${host}/app`, insecure: true, timeouts, ...more }, version };
  return await runResource("in", { args: [folder.path], stdin, env: { NO_COLOR: "1" } });
}

/** A way to a server that closes the first connections, as a server does that restarts. */
async function startCuttingRelay(
  to: string,
  cuts: number,
  at: "127.0.0.1" | "::1" = "127.0.0.1",
): Promise<AsyncDisposable & { host: string }> {
  const sockets = new Set<Socket>();
  let left = cuts;
  const server = createServer((incoming) => {
    sockets.add(incoming.on("error", () => {}));
    if (left-- > 0) {
      incoming.resetAndDestroy();
      return;
    }
    const { hostname, port } = new URL(`http://${to}`);
    const onward = connect(Number(port), hostname);
    sockets.add(onward.on("error", () => incoming.destroy()));
    incoming.pipe(onward).pipe(incoming);
  });
  server.listen(0, at);
  await once(server, "listening");
  return {
    host: `${at === "::1" ? "[::1]" : at}:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

test("an insecure registry with TLS that is away for a moment isn't taken for one with plain http", async () => {
  await using authority = await createAuthority();
  await using folder = await createPrivateFolder("test-storage");
  const { version } = await (async () => {
    await using plain = await startRegistry({ folder: folder.path });
    return await storeImage(`${plain.host}/app`);
  })();
  await using secure = await startRegistry({ folder: folder.path, tls: await authority.server() });
  for (const cuts of [1, 2, 3]) {
    await using relay = await startCuttingRelay(secure.host, cuts);
    versionOf(await get(relay.host, version));
  }
});

test("a registry may have an IPv6 address and a name of many parts: for base image, push, cache and get", async () => {
  await using way = await startCuttingRelay(registry.host, 0, "::1");
  const repository = `${way.host}/a/b/c/d/e/app`;
  const source = { repository, insecure: true, cache: true, username: "me", password: "secret word" };
  const { version } = versionOf(await smallPut({ source, params: { tags: ["base"] } }));
  versionOf(await get(way.host, version, { repository }));
  const dockerfile = `FROM ${repository}:base\nCOPY Dockerfile /more\n`;
  const run = await smallPut({ source, dockerfile });
  versionOf(run);
  assert.doesNotMatch(run.stderr, /warning:/);
});

test("a get resumes a blob by a new link when the one that its registry gave has run out", async () => {
  const { version } = await storeImage(`${registry.host}/app`, { layers: [randomLayer(3_000_000)] });
  await using proxy = await startFaultProxy(registry.url);
  await using store = await startFaultProxy(registry.url);
  let links = 0;
  proxy.inject({
    when: asks("blob"),
    happens: (faulty) => {
      const location = `${store.url}${faulty.request.path}?signature=${++links}`;
      return answers(307, { headers: { location } })(faulty);
    },
  });
  store.inject({
    when: ({ path, headers }) => headers.range === undefined && !path.endsWith("=1"),
    times: 1,
    happens: breaksAfter(1_000_000, "reset"),
  });
  const run = await get(proxy.host, version);
  versionOf(run);
  assert.match(run.stderr, /the connection was cut; retrying/);
  const asked = store.requests.map(({ path }) => path);
  assert.equal(new Set(asked).size, asked.length, "a link was used twice");
});

for (const [what, { body, words }] of Object.entries({
  "S3 answers for a link that has run out": {
    body: '<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired</Message><X-Amz-Expires>300</X-Amz-Expires></Error>',
    words: /answered with 403 \(AccessDenied: Request has expired\); the registry sends its clients to /,
  },
  "Azure answers for a clock that is wrong": {
    body: "\uFEFF<?xml version='1.0'?><Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request.\nTime:2026-01-01T00:00:00Z</Message></Error>",
    words: /403 \(AuthenticationFailed: Server failed to authenticate the request\. Time:/,
  },
  "a store answers without words": {
    body: "",
    words: /answered with 403; the registry sends its clients to 127\.0\.0\.1:\d+, which refuses/,
  },
}))
  test(`what ${what} is told as the store's, not as a right that the user lacks`, async () => {
    const { version } = await storeImage(`${registry.host}/app`);
    await using proxy = await startFaultProxy(registry.url);
    await using store = await startFaultProxy(registry.url);
    store.inject({ when: () => true, happens: answers(403, { body }) });
    proxy.inject({ when: asks("blob"), happens: answers(307, { headers: { location: store.url } }) });
    const run = await get(proxy.host, version);
    assertFailedCleanly(run, words);
    assert.doesNotMatch(run.stderr, /this user may not do that/);
  });

test("a server that compresses whatever may be compressed is asked not to", async () => {
  const { version } = await storeImage(`${registry.host}/app`);
  await using proxy = await startFaultProxy(registry.url);
  proxy.inject({
    when: ({ method, headers }) =>
      method === "GET" && !/^identity$|identity;q=1/.test(headers["accept-encoding"] ?? "*"),
    happens: async (faulty) => {
      const { status, headers, body } = await faulty.forward();
      const packed = gzipSync(body);
      const length = { "content-encoding": "gzip", "content-length": String(packed.length) };
      faulty.response.writeHead(status, { ...headers, ...length }).end(packed);
    },
  });
  versionOf(await get(proxy.host, version));
});

const noHead: Fault = {
  when: ({ method, path }) => method === "HEAD" && /\/manifests\//.test(path),
  happens: answers(405),
};
const noDigest: Fault = {
  when: ({ method, path }) => method === "HEAD" && /\/manifests\//.test(path),
  happens: async (faulty) => {
    const { status, headers } = await faulty.forward();
    const { "docker-content-digest": _, etag: __, ...others } = headers;
    faulty.response.writeHead(status, others).end();
  },
};

for (const [what, fault] of [
  ["refuses HEAD", noHead],
  ["leaves the digest out", noDigest],
] as const)
  test(`keep works with a registry that ${what}`, async () => {
    await using own = await startRegistry();
    await using proxy = await startFaultProxy(own.url);
    // BuildKit itself pushes to the registry's own name, and only the put's requests meet the fault.
    const isBuildkit = /^(containerd|buildkit)/;
    proxy.inject({
      ...fault,
      when: (request) => fault.when(request) && !isBuildkit.test(request.headers["user-agent"] ?? ""),
    });
    const put = (content: string, keep?: object) =>
      smallPut({
        source: {
          repository: `${proxy.host}/app`,
          insecure: true,
          buildkit: { address: daemon.address },
          ...(keep && { keep }),
        },
        dockerfile: `FROM scratch\nCOPY Dockerfile /${content}\n`,
        params: { reproducible: true },
      });
    const { version } = versionOf(await put("old"));
    await ageBuild(own.url, "app", version, 3);
    const run = await put("new", { builds: 1 });
    versionOf(run);
    assert.match(run.stderr, /keep: removed 1 old build from/);
    assert.equal((await buildTags(own.url, "app")).length, 1);
  });

const list = (tags: readonly string[]) => JSON.stringify({ name: "app", tags });

/** The registry's list of tags in two pages, the second of which is where this link leads. */
function paged(link: (proxy: FaultProxy) => string, proxy: FaultProxy): readonly Fault[] {
  return [
    {
      when: asks(/\/tags\/list$/),
      happens: (faulty) => answers(200, { headers: { link: link(proxy) }, body: list(["1.0.0"]) })(faulty),
    },
    { when: asks(/\/tags\/list\?page=2$/), happens: answers(200, { body: list(["2.0.0"]) }) },
  ];
}

for (const [what, link, refused] of [
  ["a path", () => '</v2/app/tags/list?page=2>; rel="next"'],
  ["relative to the list", () => "<list?page=2>; rel=next"],
  ["a URL", ({ url }: FaultProxy) => `<${url}/v2/app/tags/list?page=2>; rel="next"`],
  ["after another link", () => '</>; rel="first", </v2/app/tags/list?page=2>; rel="next"'],
  [
    "a URL without the TLS that a proxy adds",
    ({ host }: FaultProxy) => `<https://${host}/v2/app/tags/list?page=2>; rel="next"`,
  ],
  [
    "of another host",
    () => '<http://other.example/v2/app/tags/list>; rel="next"',
    /the next page of tags leads elsewhere, to http:\/\/other\.example/,
  ],
  [
    "not a URL",
    () => '<http://[bad>; rel="next"',
    /the next page of tags leads elsewhere, to what is not a URL/,
  ],
] as readonly (readonly [string, (proxy: FaultProxy) => string, RegExp?])[])
  test(`a link to the next page of tags that is ${what} is ${refused === undefined ? "followed" : "refused"}`, async () => {
    await using proxy = await startFaultProxy(registry.url);
    proxy.inject(...paged(link, proxy));
    const run = await smallPut({
      source: {
        repository: `${proxy.host}/app`,
        insecure: true,
        buildkit: { address: daemon.address },
      },
      params: { version: "1.1.0", bump_aliases: true },
    });
    if (refused !== undefined) return assertFailedCleanly(run, refused);
    versionOf(run);
    const set = proxy.requests.filter(({ method }) => method === "PUT").map(({ path }) => path);
    assert.ok(set.some((path) => path.endsWith("/manifests/1.1")));
    assert.ok(!set.some((path) => path.endsWith("/manifests/latest")), "2.0.0 is newer");
  });

const bearer = (url: string) => ({ "www-authenticate": `Bearer realm="${url}/token",service="x"` });

for (const [what, answer] of Object.entries({
  "only access_token": { access_token: "abc" },
  "only token, without expires_in": { token: "abc" },
  "an empty token beside access_token": { token: "", access_token: "abc" },
  "null for access_token": { token: "abc", access_token: null },
  "fields that nobody knows": { token: "abc", expires_in: "soon", issued_at: 7, more: {} },
}))
  test(`a token server may answer ${what}`, async () => {
    const { version } = await storeImage(`${registry.host}/app`);
    await using proxy = await startFaultProxy(registry.url);
    proxy.inject(
      { when: asks(/^\/token/), happens: answers(200, { body: JSON.stringify(answer) }) },
      {
        when: ({ headers }) => headers.authorization !== "Bearer abc",
        happens: answers(401, { headers: bearer(proxy.url) }),
      },
    );
    versionOf(await get(proxy.host, version));
  });

const moved = (location: string): Fault => ({
  when: asks(/^\/token/),
  happens: answers(301, { headers: { location } }),
});

test("a token server that has moved is followed, and only its own host gets the password", async () => {
  const { version } = await storeImage(`${registry.host}/app`);
  await using proxy = await startFaultProxy(registry.url);
  await using other = await startFaultProxy(registry.url);
  const login = { username: "me", password: "secret word" };
  const token = answers(200, { body: '{"token":"abc"}' });
  const guard: Fault = {
    when: ({ headers }) => headers.authorization !== "Bearer abc",
    happens: answers(401, { headers: bearer(proxy.url) }),
  };
  proxy.inject({ when: asks(/^\/moved/), happens: token }, moved("/moved?scope=x"), guard);
  versionOf(await get(proxy.host, version, login));
  const own = proxy.requests.filter(({ path }) => path.startsWith("/moved"));
  assert.match(own[0]?.headers.authorization ?? "", /^Basic /);
  other.inject({ when: () => true, happens: token });
  proxy.inject(moved(`${other.url}/token`), guard);
  versionOf(await get(proxy.host, version, login));
  assert.deepEqual(
    other.requests.map(({ headers }) => headers.authorization),
    [undefined],
  );
  proxy.inject(moved("/token"), guard);
  assertFailedCleanly(await get(proxy.host, version, login), /token server \S+ was answered with 301/);
});

test("a challenge of several schemes is met by the one that can be", async () => {
  const { version } = await storeImage(`${registry.host}/app`);
  await using proxy = await startFaultProxy(registry.url);
  const expected = `Basic ${Buffer.from("me:secret word").toString("base64")}`;
  for (const challenge of [
    'Basic realm="Artifactory Realm"',
    'Negotiate, Basic realm="Sonatype Nexus"',
    'NTLM, BASIC realm="a, \\"b\\""',
    'Digest realm="x", nonce="y==", Basic realm="z", charset="UTF-8"',
  ]) {
    proxy.inject({
      when: ({ headers }) => headers.authorization !== expected,
      happens: answers(401, { headers: { "www-authenticate": challenge } }),
    });
    versionOf(await get(proxy.host, version, { username: "me", password: "secret word" }));
  }
});
