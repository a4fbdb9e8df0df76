import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { randomLayer, type StoredImage, storeImage } from "../support/images/stored-image.ts";
import { assertFailedCleanly, runResource, versionOf } from "../support/runs/resource.ts";
import { checkout } from "../support/runs/test-step.ts";
import { until } from "../support/runs/wait-until.ts";
import { type Authority, createAuthority } from "../support/servers/certificates.ts";
import {
  answers,
  asks,
  changesBody,
  type FaultProxy,
  type Faulty,
  startFaultProxy,
} from "../support/servers/fault-proxy.ts";
import { startForwardProxy } from "../support/servers/forward-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const layerCount = 5;

/** An image of several layers of some megabytes, and a proxy before it. */
async function makeSlowRegistry() {
  await using held = new AsyncDisposableStack();
  const registry = held.use(await startRegistry());
  const proxy = held.use(await startFaultProxy(registry.url));
  const layers = Array.from({ length: layerCount }, (_, index) => randomLayer(1_500_000, index + 1));
  const stored = await storeImage(`${registry.host}/app`, { layers });
  const folder = held.use(await createPrivateFolder("test-get"));
  const owned = held.move();
  return { proxy, stored, to: join(folder.path, "got"), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const asksFor = (stored: StoredImage, layer: number) =>
  asks(new RegExp(`/blobs/${stored.image.layers[layer]?.descriptor.digest}`));

const get = (proxy: FaultProxy, stored: StoredImage, to: string, params: object) =>
  runResource("in", {
    args: [to],
    stdin: { source: { repository: `${proxy.host}/app`, insecure: true }, version: stored.version, params },
    env: { NO_COLOR: "1" },
  });

/** Seconds. */
const enough = 20;

async function isUnpacked(to: string, name: string): Promise<boolean> {
  const [partial = ""] = await readdir(to).catch(() => []);
  return existsSync(join(to, partial, "rootfs", name));
}

const rootfsOnly = { unpack_rootfs: true, image_tar: false };

test("a get unpacks its first layer while the second hasn't come, and fetches the others meanwhile", async () => {
  await using site = await makeSlowRegistry();
  const { proxy, stored, to } = site;
  const others = [2, 3].map((layer) => asksFor(stored, layer));
  proxy.inject({
    when: asksFor(stored, 1),
    happens: async (faulty) => {
      await until(() => isUnpacked(to, "data-1"), "the first layer's file", enough);
      await until(async () => others.every((when) => proxy.requests.some(when)), "the other layers", enough);
      const { status, headers, body } = await faulty.forward();
      faulty.response.writeHead(status, headers).end(body);
    },
  });
  versionOf(await get(proxy, stored, to, rootfsOnly));
  const names = (await readdir(join(to, "rootfs"))).toSorted();
  assert.deepEqual(
    names,
    Array.from({ length: layerCount }, (_, index) => `data-${index + 1}`),
  );
  assert.deepEqual((await readdir(to)).toSorted(), [
    "digest",
    "labels.json",
    "metadata.json",
    "reference",
    "repository",
    "rootfs",
    "tag",
  ]);
});

test("a get fetches each blob once, whatever it delivers of it", async () => {
  await using site = await makeSlowRegistry();
  const { proxy, stored, to } = site;
  for (const params of [{ unpack_rootfs: true }, { unpack_rootfs: true, output_oci: true }]) {
    const earlier = proxy.requests.length;
    const folder = `${to}-${earlier}`;
    versionOf(await get(proxy, stored, folder, params));
    const blobs = proxy.requests.slice(earlier).filter(asks("blob"));
    const paths = blobs.map(({ path }) => path);
    assert.deepEqual(paths.toSorted(), [...new Set(paths)].toSorted());
    assert.equal(paths.length, layerCount + 1);
    assert.ok((await readdir(folder)).every((name) => !name.startsWith(".")));
  }
});

test("a get needs no daemon, and with skip_download one request", async () => {
  await using site = await makeSlowRegistry();
  const { proxy, stored, to } = site;
  versionOf(await get(proxy, stored, to, { skip_download: true }));
  assert.deepEqual((await readdir(to)).toSorted(), ["digest", "reference", "repository", "tag"]);
  assert.deepEqual(
    proxy.requests.map(({ path: asked }) => asked),
    [`/v2/app/manifests/${stored.tag}`],
  );
  const nobody = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"];
  const path = `${join(checkout, "node_modules/.bin")}:/usr/bin:/bin`;
  const source = { repository: `${proxy.host}/app`, insecure: true };
  const run = await runResource("in", {
    args: [to],
    stdin: { source, version: stored.version, params: rootfsOnly },
    env: { PATH: path },
    under: nobody,
  });
  versionOf(run);
  assert.equal((await readFile(join(to, "rootfs/data-1"))).length, 1_500_000);
});

test("places outside send nobody to this machine: neither for a token, nor by a redirect, nor for a next page", async () => {
  await using registry = await startRegistry();
  await using inside = await startFaultProxy(registry.url);
  await using outside = await startFaultProxy(registry.url);
  const stored = await storeImage(`${registry.host}/app`);
  await using way = await startForwardProxy({ "registry.example:5000": outside.host });
  const source = {
    repository: "registry.example:5000/app",
    insecure: true,
    username: "me",
    password: "secret",
  };
  const run = async () => {
    await using folder = await createPrivateFolder("test-get");
    return await runResource("in", {
      args: [folder.path],
      stdin: { source, version: stored.version },
      env: { NO_COLOR: "1", HTTP_PROXY: way.url, HTTPS_PROXY: way.url },
    });
  };
  versionOf(await run());
  const realm = `Bearer realm="${inside.url}/token",service="x"`;
  outside.inject({ when: () => true, happens: answers(401, { headers: { "www-authenticate": realm } }) });
  assertFailedCleanly(
    await run(),
    /the token server of \S+ \S+ is refused: a local address named by a public one/,
  );
  outside.inject({ when: asks("blob"), happens: answers(307, { headers: { location: `${inside.url}/x` } }) });
  assertFailedCleanly(await run(), /the redirect to \S+ is refused: a local address named by a public one/);
  outside.inject({
    when: asks("blob"),
    happens: answers(307, { headers: { location: "file:///etc/passwd" } }),
  });
  assertFailedCleanly(await run(), /is refused: file:\/\/ from http:\/\//);
  assert.deepEqual(inside.requests, []);
});

async function tlsRegistry(authority: Authority, realm: string) {
  const tls = await authority.server();
  const token = { realm, service: "x", issuer: "x", rootCertificates: authority.ca };
  return startRegistry({ tls, token });
}

test("an https registry sends nobody to a token server without TLS", async () => {
  await using authority = await createAuthority();
  await using tokens = await startFaultProxy("http://127.0.0.1:1");
  await using registry = await tlsRegistry(authority, `${tokens.url}/token`);
  const source = {
    repository: `${registry.host}/app`,
    ca_certs: await readFile(authority.ca, "utf8"),
    username: "me",
    password: "secret",
  };
  const version = { digest: `sha256:${"0".repeat(64)}` };
  const run = await runResource("in", { args: ["/nonexistent-not-made"], stdin: { source, version } });
  assertFailedCleanly(run, /the token server of \S+ \S+ is refused: http:\/\/ from https:\/\//);
  assert.deepEqual(tokens.requests, []);
});

/** An answer that goes on until nobody reads it. */
const endless = (status: number) => ({
  happens: ({ response }: Faulty) => {
    response.writeHead(status);
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(4096, " ")));
    };
    response.on("drain", more);
    more();
  },
});

test("a token, and an error's text, are read up to 64 KiB, however their length is told", async () => {
  await using registry = await startRegistry();
  const stored = await storeImage(`${registry.host}/app`);
  await using proxy = await startFaultProxy(registry.url);
  const wants = answers(401, { headers: { "www-authenticate": `Bearer realm="${proxy.url}/token"` } });
  const run = async () => {
    await using folder = await createPrivateFolder("test-get");
    return await get(proxy, stored, folder.path, {});
  };
  const isToken = asks(/^\/token/);
  const long = JSON.stringify({ token: "x".repeat(70_000) });
  for (const token of [{ happens: answers(200, { body: long }) }, endless(200)]) {
    proxy.inject({ when: isToken, ...token }, { when: () => true, happens: wants });
    assertFailedCleanly(await run(), /the token server \S+: the answer has more than 65536 bytes/);
  }
  proxy.inject({ when: asks("manifest"), ...endless(403) });
  assertFailedCleanly(await run(), /was answered with 403; this user may not do that/);
});

test("a redirect to another host is followed without credentials, and a 401 there gets none either", async () => {
  const seen: (string | undefined)[] = [];
  let isAsking = false;
  await using registry = await startRegistry();
  const stored = await storeImage(`${registry.host}/app`, { layers: [randomLayer(10_000)] });
  await using other = await startFaultProxy(registry.url);
  const password = "a secret password";
  await using proxy = await startFaultProxy(registry.url);
  other.inject({
    when: () => true,
    happens: async (faulty) => {
      seen.push(faulty.request.headers.authorization);
      const refuse = answers(401, { headers: { "www-authenticate": 'Basic realm="other"' } });
      await (isAsking ? refuse : changesBody((body) => body))(faulty);
    },
  });
  proxy.inject(
    {
      when: ({ headers }) => headers.authorization === undefined,
      happens: answers(401, { headers: { "www-authenticate": 'Basic realm="own"' } }),
    },
    {
      when: asks("blob"),
      happens: (faulty) =>
        answers(307, { headers: { location: `${other.url}${faulty.request.path}` } })(faulty),
    },
  );
  const getGuarded = async () => {
    await using folder = await createPrivateFolder("test-get");
    return await runResource("in", {
      args: [folder.path],
      stdin: {
        source: { repository: `${proxy.host}/app`, insecure: true, username: "me", password },
        version: stored.version,
      },
      env: { NO_COLOR: "1" },
    });
  };
  versionOf(await getGuarded());
  isAsking = true;
  const refused = await getGuarded();
  assertFailedCleanly(refused, new RegExp(`GET ${other.url}/v2/app/blobs/sha256:\\w+ was answered with 401`));
  assert.ok(seen.length > 2);
  assert.deepEqual([...new Set(seen)], [undefined]);
  assert.doesNotMatch(refused.output, new RegExp(password));
});
