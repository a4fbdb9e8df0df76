import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { assertFailedCleanly, startResource } from "../support/runs/resource.ts";

interface BadProxy extends AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly host: string;
  /** Number of the requests to open a connection. */
  readonly asked: () => number;
  /** Settles at the first of them. */
  readonly first: Promise<void>;
}

/** A proxy that answers each request with this text, if any, and opens no connection. */
async function startBadProxy(answer: string | undefined): Promise<BadProxy> {
  let asked = 0;
  const { promise: first, resolve } = Promise.withResolvers<void>();
  const sockets = new Set<Socket>();
  const server = createServer().on("connect", (_, socket: Socket) => {
    asked++;
    resolve();
    sockets.add(socket.on("error", () => {}));
    if (answer !== undefined) socket.end(answer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: () => asked,
    first,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

async function startGet(env: Readonly<Record<string, string>>, timeouts = { stall: 1, retry: 1 }) {
  const folder = await createPrivateFolder("test-get");
  const started = await startResource("in", {
    args: [folder.path],
    stdin: {
      source: { repository: "registry.example/app", timeouts },
      version: { digest: `sha256:${"a".repeat(64)}` },
    },
    env: { NO_COLOR: "1", ...env },
  });
  const result = (async () => {
    await using _ = folder;
    return await started.result;
  })();
  return { ...started, result };
}

const advice = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment of the worker's steps";

for (const [what, { answer, words, isRetried }] of Object.entries({
  "wants a password": {
    answer: "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
    words: `opens no connection to the host: it answers 407; ${advice}`,
    isRetried: false,
  },
  "forbids the host": {
    answer: "HTTP/1.1 403 Forbidden\r\n\r\n",
    words: `opens no connection to the host: it answers 403; ${advice}`,
    isRetried: false,
  },
  "is busy": {
    answer: "HTTP/1.1 503 Service Unavailable\r\n\r\n",
    words: `opens no connection to the host: it answers 503; ${advice}.* \\(tried for \\d s\\)`,
    isRetried: true,
  },
  "is something else": {
    answer: "220 mail.example ESMTP\r\n\r\n",
    words: `doesn't answer as a proxy does; ${advice}`,
    isRetried: false,
  },
}))
  test(`a proxy that ${what} is told as that`, async () => {
    await using proxy = await startBadProxy(answer);
    const { result } = await startGet({ HTTPS_PROXY: `user:secret-word@${proxy.host}` });
    const run = await result;
    assertFailedCleanly(run, new RegExp(`the proxy http://${proxy.host} ${words}`));
    assert.doesNotMatch(run.output, /secret-word/);
    assert.equal(proxy.asked() > 1, isRetried, `asked ${proxy.asked()} times`);
  });

test("a proxy that takes a request and never answers is given up after the time for a stalled transfer", async () => {
  await using proxy = await startBadProxy(undefined);
  const { result } = await startGet({ https_proxy: `http://${proxy.host}` });
  assertFailedCleanly(
    await result,
    new RegExp(`no answer within 1 s through the proxy http://${proxy.host};`),
  );
});

test("a get that is aborted while a proxy doesn't answer ends", async () => {
  await using proxy = await startBadProxy(undefined);
  const started = await startGet({ HTTPS_PROXY: `http://${proxy.host}` }, { stall: 600, retry: 600 });
  await proxy.first;
  started.kill("SIGTERM");
  const run = await started.result;
  assert.equal(run.status, 143, run.output);
  assert.deepEqual(run.leftovers, []);
  assert.equal(run.stderr, "aborted by SIGTERM\n");
});

test("a proxy that isn't there is told from a registry that isn't", async () => {
  const proxy = await startBadProxy(undefined);
  await proxy[Symbol.asyncDispose]();
  const { result } = await startGet({ HTTPS_PROXY: `http://${proxy.host}` });
  assertFailedCleanly(
    await result,
    new RegExp(`the proxy http://${proxy.host} can't be used: connection refused; ${advice}`),
  );
});

test("a proxy that can't be used as it is written is refused, and not gone around", async () => {
  for (const [given, words] of [
    ["socks5://user:secret-word@127.0.0.1:1080", /HTTPS_PROXY names a proxy for socks5:\/\//],
    ["http://127.0.0.1:port", /HTTPS_PROXY is not the URL of a proxy/],
    [
      "http://me:50%secret-word@127.0.0.1:3128",
      /HTTPS_PROXY has a "%" in its login that begins no escape; write it as %25/,
    ],
    [
      "secret-word%4:word@127.0.0.1:3128",
      /HTTPS_PROXY has a "%" in its login that begins no escape; write it as %25/,
    ],
    ["http://me:secret-word%ff@127.0.0.1:3128", /HTTPS_PROXY has an escape in its login that is not UTF-8/],
  ] as const) {
    const { result } = await startGet({ HTTPS_PROXY: given });
    const run = await result;
    assertFailedCleanly(run, words);
    assert.doesNotMatch(run.output, /secret-word/);
  }
});
