import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { RegistryClient } from "../../src/registry/client.ts";
import type { Credentials } from "../../src/registry/credentials.ts";
import { listTags, taggedDigest } from "../../src/registry/manifests.ts";
import { AttemptFailure } from "../../src/registry/registry-error.ts";
import { repositoryPlace } from "../../src/registry/repository-place.ts";
import { storeImage } from "../support/images/stored-image.ts";
import { createTestStep } from "../support/runs/test-step.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { createAuthority } from "../support/servers/certificates.ts";
import { answers, asks, type Fault, startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";
import { startTokenServer } from "../support/servers/token-server.ts";

const [registry] = await untilTestsEnd(startRegistry());

const password = { kind: "password", username: "me", password: "secret word" } as const;
const login = "Basic bWU6c2VjcmV0IHdvcmQ=";

function openClient(host: string, credentials: Credentials = password, caCerts?: string): RegistryClient {
  const repository = { host, path: "app" };
  const access = { hosts: new Map([[host, { insecure: true }]]), ...(caCerts !== undefined && { caCerts }) };
  return new RegistryClient({
    repository,
    place: repositoryPlace(repository, { field: "source.repository", storeHost: host, access }),
    access,
    step: createTestStep(),
    timeouts: { stall: 5_000, retry: 0 },
    credentials: async () => credentials,
  });
}

const { signal } = new AbortController();
const page = (tag: string, link?: string) =>
  answers(200, { body: JSON.stringify({ tags: [tag] }), ...(link !== undefined && { headers: { link } }) });
const nextPage = (url: string) => `<${url}>; rel="next"`;
/** Any request without the password. */
const wantsLogin: Fault = {
  when: ({ headers }) => headers.authorization === undefined,
  happens: answers(401, { headers: { "www-authenticate": 'Basic realm="x"' } }),
};

test("a link to the next page whose path names a host stays with the registry", async () => {
  await using proxy = await startFaultProxy(registry.url);
  await using inside = await startFaultProxy(registry.url);
  for (const path of [`//${inside.host}/tags`, `///${inside.host}/tags`, `/\\${inside.host}/tags`]) {
    proxy.inject(
      wantsLogin,
      { when: asks(/^\/v2\/app\/tags\/list$/), happens: page("one", nextPage(`${proxy.url}${path}`)) },
      { when: asks(/^\/\//), happens: page("two") },
    );
    using client = openClient(proxy.host);
    assert.deepEqual(await listTags(client, signal), ["one", "two"]);
  }
  assert.deepEqual(inside.requests, []);
});

test("a list of tags elsewhere gets no password for its next page, nor for what that redirects to", async () => {
  await using proxy = await startFaultProxy(registry.url);
  await using other = await startFaultProxy(registry.url);
  proxy.inject(wantsLogin, {
    when: asks(/\/tags\/list$/),
    happens: answers(307, { headers: { location: `${other.url}/list` } }),
  });
  other.inject(
    { when: asks(/^\/list$/), happens: page("one", nextPage("/list?page=2")) },
    { when: asks(/page=2$/), happens: answers(307, { headers: { location: "/list?page=3" } }) },
    { when: asks(/page=3$/), happens: page("two") },
  );
  using client = openClient(proxy.host);
  assert.deepEqual(await listTags(client, signal), ["one", "two"]);
  assert.equal(proxy.requests.at(-1)?.headers.authorization, login);
  assert.deepEqual(
    other.requests.map(({ path, headers }) => [path, headers.authorization]),
    [
      ["/list", undefined],
      ["/list?page=2", undefined],
      ["/list?page=3", undefined],
    ],
  );
});

test("another port of the registry's host is told as elsewhere, whether it refuses or isn't there", async () => {
  await using proxy = await startFaultProxy(registry.url);
  const other = await startFaultProxy(registry.url);
  other.inject({ when: () => true, happens: answers(403) });
  proxy.inject({ when: asks("blob"), happens: answers(307, { headers: { location: other.url } }) });
  using client = openClient(proxy.host);
  const isElsewhere = (thrown: unknown) =>
    thrown instanceof AttemptFailure && thrown.elsewhere === other.host;
  const ask = () => client.attempt({ method: "GET", path: "blobs/sha256:0", expected: [200] }, signal);
  await assert.rejects(ask(), isElsewhere);
  await other[Symbol.asyncDispose]();
  await assert.rejects(ask(), isElsewhere);
});

test("where HEAD is forbidden and the digest's header is missing, a manifest is asked for once", async () => {
  const { tag } = await storeImage(`${registry.host}/app`);
  const wanted = await fetch(`${registry.url}/v2/app/manifests/${tag}`, {
    headers: {
      accept: "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json",
    },
  });
  await using proxy = await startFaultProxy(registry.url);
  proxy.inject(
    { when: asks("manifest", "HEAD"), happens: answers(405) },
    {
      when: asks("manifest"),
      happens: async (faulty) => {
        const { status, headers, body } = await faulty.forward();
        const { "docker-content-digest": _, etag: __, ...others } = headers;
        faulty.response.writeHead(status, others).end(body);
      },
    },
  );
  using client = openClient(proxy.host);
  assert.equal(await taggedDigest(client, tag, signal), wanted.headers.get("docker-content-digest"));
  const asked = proxy.requests.filter(({ path }) => path.includes("/manifests/"));
  assert.deepEqual(
    asked.map(({ method }) => method),
    ["HEAD", "GET"],
  );
  assert.equal(await taggedDigest(client, "none", signal), undefined);
});

const wantsToken = (url: string): Fault => ({
  when: ({ headers, path }) => headers.authorization !== "Bearer abc" && !path.startsWith("/token"),
  happens: answers(401, { headers: { "www-authenticate": `Bearer realm="${url}/token"` } }),
});

test("a token server's redirect to TLS at another port of its host gets no password", async () => {
  await using authority = await createAuthority();
  await using tokens = await startTokenServer(await authority.server(), {});
  await using proxy = await startFaultProxy(registry.url);
  proxy.inject(wantsToken(proxy.url), {
    when: asks(/^\/token/),
    happens: answers(307, { headers: { location: tokens.token.realm } }),
  });
  using client = openClient(proxy.host, password, await readFile(authority.ca, "utf8"));
  await assert.rejects(listTags(client, signal));
  assert.deepEqual(
    tokens.requests.map(({ headers }) => headers.authorization),
    [undefined],
  );
});

for (const [what, credentials] of [
  ["more redirects than are followed", password],
  ["a redirect of a refresh token", { kind: "refresh token", token: "secret word" }],
] as const)
  test(`${what} by a token server are told with where they lead`, async () => {
    await using proxy = await startFaultProxy(registry.url);
    const location = "/token?again";
    proxy.inject(wantsToken(proxy.url), {
      when: ({ path }) => path.startsWith("/token"),
      happens: answers(307, { headers: { location } }),
    });
    using client = openClient(proxy.host, credentials);
    await assert.rejects(
      listTags(client, signal),
      new RegExp(
        `the request to the token server ${proxy.url} was answered with 307, a redirect to ${proxy.url};`,
      ),
    );
  });
