import assert from "node:assert/strict";
import { test } from "node:test";
import { storeImage } from "../support/images/stored-image.ts";
import { assertFailedCleanly } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { answers, asks, type Fault, startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [registry, daemon] = await untilTestsEnd(startRegistry(), startBuildkitd());

const hubLimit = JSON.stringify({
  errors: [
    {
      code: "TOOMANYREQUESTS",
      message:
        "You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit",
    },
  ],
});
const badGateway = "<html><body><h1>502 Bad Gateway</h1></body></html>";

for (const [what, fault, words] of [
  [
    "limits pulls",
    { when: asks("manifest"), happens: answers(429, { body: hubLimit }) },
    /limits how often it is asked \(.*429.*toomanyrequests: You have reached .*\): give username and password .*, give "mirrors"/s,
  ],
  [
    "limits pulls, in the answer to HEAD, which has no words",
    { when: asks("manifest", "HEAD"), happens: answers(429) },
    /limits how often it is asked \(.*429 Too Many Requests\): give username and password /,
  ],
  [
    "is away behind its proxy",
    {
      when: ({ path }) => path.includes("/manifests/"),
      happens: answers(502, { body: badGateway }),
    },
    /is busy or has a fault \(.*502 Bad Gateway\): run the step again later; .*give "mirrors"/,
  ],
  [
    "has a token server that is away behind its proxy",
    {
      when: () => true,
      happens: (faulty) => {
        const realm = `Bearer realm="http://${faulty.request.headers.host}/token",service="test"`;
        const isAsked = faulty.request.path.startsWith("/token");
        const headers = { "www-authenticate": realm };
        return isAsked ? answers(502, { body: badGateway })(faulty) : answers(401, { headers })(faulty);
      },
    },
    /: the token server of (\S+), \1, is busy or has a fault \(.*502 Bad Gateway\): run the step again later$/m,
  ],
] as readonly (readonly [string, Fault, RegExp])[])
  test(`a base image's registry that ${what} is told with what to do`, async () => {
    await using proxy = await startFaultProxy(registry.url);
    const { tag } = await storeImage(`${registry.host}/base`);
    proxy.inject(fault);
    const run = await smallPut({
      source: {
        repository: `${registry.host}/app`,
        insecure: true,
        buildkit: { address: daemon.address },
        registries: { [proxy.host]: { insecure: true } },
      },
      dockerfile: `FROM ${proxy.host}/base:${tag}\nLABEL a=b\n`,
    });
    assertFailedCleanly(run, words);
  });

const begins = asks(/\/blobs\/uploads\//, "POST");
const unsupported = '{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}';

for (const [what, fault, words] of [
  [
    "takes no pushes",
    { when: begins, happens: answers(405, { body: unsupported }) },
    /405 \(UNSUPPORTED: The operation is unsupported\.\); the registry takes no pushes there, as a pull-through cache/,
  ],
  [
    "sends its clients to a login page",
    {
      when: begins,
      happens: answers(302, { headers: { location: "https://sso.example/login?token=x" } }),
    },
    /was answered with 302, a redirect to https:\/\/sso\.example;/,
  ],
  [
    "has no room in a quota",
    {
      when: begins,
      happens: answers(403, {
        body: '{"errors":[{"code":"DENIED","message":"will exceed the configured upper limit"}]}',
      }),
    },
    /403 \(DENIED: will exceed the configured upper limit\); .*room in its quota/,
  ],
  [
    "has a proxy before it that takes no large layers",
    { when: asks(/\/blobs\/uploads\/./, "PUT"), happens: answers(413, { body: badGateway }) },
    /the registry answers 413 .*nginx: client_max_body_size/s,
  ],
] as readonly (readonly [string, Fault, RegExp])[])
  test(`a push to a registry that ${what} is told with what to do`, async () => {
    await using proxy = await startFaultProxy(registry.url);
    proxy.inject(fault);
    const run = await smallPut({
      source: {
        repository: `${proxy.host}/app-${crypto.randomUUID()}`,
        insecure: true,
        buildkit: { address: daemon.address },
      },
    });
    assertFailedCleanly(run, words);
    assert.doesNotMatch(run.stderr, /token=x/);
  });
