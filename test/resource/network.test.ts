import assert from "node:assert/strict";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { busyboxLayer } from "../support/images/image-writer.ts";
import { storeImage } from "../support/images/stored-image.ts";
import { makeSite, result } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, runResource, versionOf } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { createAuthority } from "../support/servers/certificates.ts";
import { startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startForwardProxy } from "../support/servers/forward-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [authority] = await untilTestsEnd(createAuthority());
const ca = await readFile(authority.ca, "utf8");

type Env = Readonly<Record<string, string | undefined>>;

async function get(source: unknown, version: unknown, env: Env = {}, under: readonly string[] = []) {
  await using folder = await createPrivateFolder("test-get");
  const stdin = { source, version };
  return await runResource("in", { args: [folder.path], stdin, env: { NO_COLOR: "1", ...env }, under });
}

const fromScratch = "FROM scratch\nCOPY Dockerfile /\n";

test("base image, push, cache and get go through a site's proxy, by CONNECT too; what NO_PROXY names does not", async () => {
  await using secure = await startRegistry({ tls: await authority.server("secure.example") });
  await using plain = await startRegistry();
  await using proxy = await startForwardProxy({
    "secure.example:5443": secure.host,
    "plain.example:5080": plain.host,
  });
  const { tag } = await storeImage(`${plain.host}/base`, { layers: [await busyboxLayer()] });
  const source = {
    repository: "secure.example:5443/team/app",
    ca_certs: ca,
    cache: true,
    registries: { "plain.example:5080": { insecure: true } },
  };
  for (const env of [
    { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url },
    { http_proxy: proxy.url, https_proxy: proxy.url },
  ]) {
    await using site = await makeSite("", source);
    const dockerfile = `FROM plain.example:5080/base:${tag}\nRUN env > /result\n`;
    const run = await site.put({ dockerfile_inline: dockerfile }, {}, { env });
    const { version } = versionOf(run);
    assert.doesNotMatch(run.stderr, /layer cache not used/);
    versionOf(await get(source, version, env));
  }
  assert.ok(proxy.asked.includes("CONNECT secure.example:5443"));
  assert.ok(proxy.asked.some((asked) => asked.startsWith("GET http://plain.example:5080/v2/base/")));
  assert.match(secure.log(), /PUT .*manifests\/buildcache/);
  const refused = await smallPut({
    source: { ...source, cache: false },
    dockerfile: fromScratch,
    env: { HTTPS_PROXY: proxy.url, NO_PROXY: "secure.example" },
  });
  assertFailedCleanly(refused, /there is no host of that name|can't be looked up/);
});

test("RUN has no proxy unless the build args name one", async () => {
  await using site = await makeSite("RUN env | sort > /result\n");
  const env = { HTTP_PROXY: "http://proxy.example:3128", HTTPS_PROXY: "http://proxy.example:3128" };
  const without = await site.put({}, {}, { env });
  assert.doesNotMatch(await result(await site.get(without)), /proxy/i);
  const args = { HTTP_PROXY: "http://other.example:3128", no_proxy: "localhost" };
  const asked = await site.put({ build_args: args }, {}, { env });
  const seen = await result(await site.get(asked));
  assert.match(seen, /^HTTP_PROXY=http:\/\/other\.example:3128\n(.*\n)*no_proxy=localhost$/m);
  assert.doesNotMatch(seen, /proxy\.example/);
});

test("a CA of the operator counts for base image, push and get, wherever it is mounted", async () => {
  await using registry = await startRegistry({ tls: await authority.server() });
  await using folder = await createPrivateFolder("test-trust");
  const certificates = join(folder.path, "certificates");
  await mkdir(certificates);
  await writeFile(join(certificates, "company.pem"), ca);
  await symlink("company.pem", join(certificates, "0123abcd.0"));
  const { tag } = await storeImage(`${registry.host}/base`, undefined, { ca: authority.ca });
  // The default for loopback would be plain http.
  const registries = { [registry.host]: { insecure: false } };
  const source = { repository: `${registry.host}/app`, registries };
  const dockerfile = `FROM ${registry.host}/base:${tag}\nCOPY Dockerfile /\n`;
  const bind = 'mount --bind "$1" /etc/ssl/certs && shift && exec "$@"';
  const over = ["unshare", "--mount", "sh", "-c", bind, "sh", certificates];
  const ways: readonly { env?: Record<string, string>; under?: readonly string[] }[] = [
    { env: { SSL_CERT_FILE: join(certificates, "company.pem") } },
    { env: { SSL_CERT_DIR: `/nonexistent:${certificates}` } },
    { under: over },
  ];
  for (const way of ways) {
    await using site = await makeSite("", source);
    const run = await site.put({ dockerfile_inline: dockerfile }, {}, way);
    const { version } = versionOf(run);
    versionOf(await get(source, version, way.env, way.under));
  }
  const untrusted = await smallPut({ source });
  assertFailedCleanly(untrusted, /certificate is not trusted/);
});

test("ca_certs of the source count for every registry, those of a host for it alone", async () => {
  await using store = await startRegistry({ tls: await authority.server() });
  await using other = await createAuthority("other authority");
  await using bases = await startRegistry({ tls: await other.server("bases.example") });
  await using proxy = await startForwardProxy({ "bases.example:5000": bases.host });
  const { tag } = await storeImage(`${bases.host}/base`, undefined, { ca: other.ca });
  const otherCa = await readFile(other.ca, "utf8");
  const dockerfile = `FROM bases.example:5000/base:${tag}\nCOPY Dockerfile /\n`;
  const put = (source: object) =>
    smallPut({
      source: { repository: `${store.host}/app`, ...source },
      dockerfile,
      env: { HTTPS_PROXY: proxy.url },
    });
  versionOf(await put({ ca_certs: [ca, otherCa] }));
  versionOf(await put({ ca_certs: ca, registries: { "bases.example:5000": { ca_certs: otherCa } } }));
  const wrong = await put({ ca_certs: ca, registries: { "else.example": { ca_certs: otherCa } } });
  assertFailedCleanly(wrong, /x509: certificate.*give its CA as "ca_certs" in the source/);
});

test("certificates and keys that are none are told by their field, before anything is asked", async () => {
  const client = await authority.client("one");
  const stranger = await authority.client("two");
  const [cert, key, strange] = await Promise.all(
    [client.cert, client.key, stranger.key].map((file) => readFile(file, "utf8")),
  );
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ ca_certs: "/etc/ca.pem" }, /source\.ca_certs: expected PEM certificates .*, found none/],
    [{ ca_certs: [ca, ca.replace("MII", "!!!")] }, /source\.ca_certs: .*number 2 can't be read/],
    [{ registries: { "a.example": { client_cert: cert } } }, /client_cert and client_key together/],
    [
      { registries: { "a.example": { client_cert: cert, client_key: strange } } },
      /source\.registries\.a\.example: client_key is not a PEM key, or not the key of client_cert/,
    ],
  ];
  for (const [fields, message] of cases) {
    const run = await smallPut({ source: { repository: "127.0.0.1:1/app", ...fields } });
    assertFailedCleanly(run, message);
    assert.ok(!run.output.includes(key?.split("\n")[1] ?? "-"));
  }
});

test("a registry that asks its clients for certificates gets ours, for base image, push, cache and get", async () => {
  await using registry = await startRegistry({ tls: await authority.server(), clientCa: authority.ca });
  const client = await authority.client("worker");
  const [cert, key] = await Promise.all([client.cert, client.key].map((file) => readFile(file, "utf8")));
  const source = {
    repository: `${registry.host}/app`,
    ca_certs: ca,
    cache: true,
    registries: { [registry.host]: { client_cert: cert, client_key: key } },
  };
  const first = await smallPut({ source, params: { tags: ["base"] } });
  const second = await smallPut({ source, dockerfile: `FROM ${registry.host}/app:base\nLABEL a=b\n` });
  assert.doesNotMatch(second.stderr, /layer cache not used/);
  for (const run of [first, second]) versionOf(await get(source, versionOf(run).version));
  const refused = await smallPut({ source: { ...source, registries: {} } });
  assertFailedCleanly(refused, /client_cert/);
});

test("mirrors of any host, with path, password and plain http, are asked in turn before the host; dead ones are passed over", async () => {
  await using mirror = await startRegistry({ htpasswd: { reader: "mirror secret" } });
  await using origin = await startRegistry();
  await using seen = await startFaultProxy(origin.url);
  const login = { username: "reader", password: "mirror secret" };
  const base = await storeImage(`${mirror.host}/hub/library/base`, undefined, login);
  const other = await storeImage(`${origin.host}/library/other`);
  const registries = {
    "upstream.example": {
      mirrors: ["127.0.0.1:1/dead", `http://${mirror.host}/hub/`, `http://${seen.host}`],
    },
    [mirror.host]: login,
  };
  for (const [name, tag] of [
    ["base", base.tag],
    ["other", other.tag],
  ] as const) {
    await using site = await makeSite("");
    const dockerfile = `FROM upstream.example/library/${name}:${tag}\nLABEL a=b\n`;
    versionOf(await site.put({ dockerfile_inline: dockerfile }, { registries }));
  }
  assert.match(mirror.log(), /GET \/v2\/hub\/library\/base\/manifests/);
  assert.ok(seen.requests.some(({ path }) => path.includes("/library/other/manifests/")));
  assert.ok(seen.requests.every(({ headers }) => headers.authorization === undefined));
});
