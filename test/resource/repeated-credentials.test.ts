import assert from "node:assert/strict";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { storeImage } from "../support/images/stored-image.ts";
import { assertFailedCleanly, type Run, runResource } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import {
  answers,
  asks,
  type Fault,
  type FaultProxy,
  startFaultProxy,
} from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [registry, daemon] = await untilTestsEnd(startRegistry(), startBuildkitd());
const stored = await storeImage(`${registry.host}/app`);

const password = "correct-horse-7";
const basic = Buffer.from(`me:${password}`).toString("base64");
const token = "opaque.Token-0123456789";

/** Registries that want to know who asks, each with what must not be seen. */
const kinds = {
  Basic: { challenge: () => 'Basic realm="x"', secrets: [password, basic] },
  Bearer: {
    challenge: (proxy: FaultProxy) => `Bearer realm="${proxy.url}/token",service="x"`,
    secrets: [password, basic, token],
  },
} as const;

/** What a careless registry or proxy says, with the header that it was sent. */
const sayings: readonly (readonly [string, (header: string) => string])[] = [
  ["the header", (header) => `bad request: Authorization: ${header}`],
  ["the header as JSON", (header) => `{"headers":{"Authorization":["${header}"]}}`],
  ["its value", (header) => `refused: ${header}`],
  ["a URL with the password", () => `no route to https://me:${password}@store.example/v2/`],
];

function guards(proxy: FaultProxy, kind: keyof typeof kinds): Fault[] {
  const headers = { "www-authenticate": kinds[kind].challenge(proxy) };
  return [
    { when: asks(/^\/token/), happens: answers(200, { body: JSON.stringify({ token }) }) },
    { when: (request) => request.headers.authorization === undefined, happens: answers(401, { headers }) },
  ];
}

function repeats(when: Fault["when"], status: number, say: (header: string) => string): Fault {
  return {
    when,
    happens: (faulty) => {
      const message = say(faulty.request.headers.authorization ?? "none");
      return answers(status, {
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ errors: [{ code: "DENIED", message }] }),
      })(faulty);
    },
  };
}

function assertSilent(run: Run, kind: keyof typeof kinds): void {
  for (const secret of kinds[kind].secrets) assert.ok(!run.output.includes(secret), run.output);
}

const source = (proxy: FaultProxy, name = "app") => ({
  repository: `${proxy.host}/${name}`,
  insecure: true,
  username: "me",
  password,
  timeouts: { retry: 1 },
  buildkit: { address: daemon.address },
});

for (const kind of ["Basic", "Bearer"] as const) {
  for (const [what, say] of sayings) {
    test(`a registry with ${kind} that repeats ${what} is shown without it: get, put's first question, push, tag`, async () => {
      await using proxy = await startFaultProxy(registry.url);
      await using folder = await createPrivateFolder("test-get");
      proxy.inject(...guards(proxy, kind), repeats(asks("manifest"), 403, say));
      const stdin = { source: source(proxy), version: stored.version };
      const got = await runResource("in", { args: [folder.path], stdin });
      assertFailedCleanly(got, /was answered with 403 \(DENIED: .*\*\*\*/);
      assertSilent(got, kind);

      const puts: readonly (readonly [Fault["when"], number, RegExp])[] = [
        [asks(/\/blobs\/uploads\/$/, "POST"), 403, /was answered with 403 \(DENIED: .*\*\*\*/],
        [asks(/\/blobs\/uploads\/./, "PUT"), 400, /failed to push /],
        [asks(/\/manifests\/sha256:/, "PUT"), 400, /failed to push /],
        [asks(/\/manifests\/one/, "PUT"), 400, /was answered with 400 \(DENIED: .*\*\*\*/],
      ];
      for (const [when, status, message] of puts) {
        proxy.inject(...guards(proxy, kind), repeats(when, status, say));
        // Blobs that the registry has already are not pushed.
        const name = `app-${crypto.randomUUID()}`;
        const dockerfile = `FROM scratch\nCOPY Dockerfile /${name}\n`;
        const run = await smallPut({ source: source(proxy, name), params: { tags: ["one"] }, dockerfile });
        assertFailedCleanly(run, message);
        assertSilent(run, kind);
      }
    });
  }
}

test("a registry that says nothing but a password that it was sent is shown without it", async () => {
  await using proxy = await startFaultProxy(registry.url);
  await using folder = await createPrivateFolder("test-get");
  proxy.inject(
    ...guards(proxy, "Basic"),
    repeats(asks("manifest"), 403, () => `${"x".repeat(290)} ${password}`),
  );
  const stdin = { source: source(proxy), version: stored.version };
  const run = await runResource("in", { args: [folder.path], stdin });
  assertFailedCleanly(run, /was answered with 403/);
  assertSilent(run, "Basic");
  assert.ok(!run.output.includes(password.slice(0, 5)));
});

test("a page that repeats the header in place of a manifest is shown without it", async () => {
  await using proxy = await startFaultProxy(registry.url);
  await using folder = await createPrivateFolder("test-get");
  proxy.inject(...guards(proxy, "Basic"), {
    when: asks("manifest"),
    happens: (faulty) => answers(200, { body: `<b>${faulty.request.headers.authorization}</b>` })(faulty),
  });
  const stdin = { source: source(proxy), version: stored.version };
  const run = await runResource("in", { args: [folder.path], stdin });
  assertFailedCleanly(run, /expected JSON, found "<b>Basic \*\*\*/);
  assertSilent(run, "Basic");
});
