import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { canary } from "../support/runs/canaries.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { createAuthority } from "../support/servers/certificates.ts";
import { startForwardProxy } from "../support/servers/forward-proxy.ts";
import { type OtlpReceiver, partialSuccess, startOtlpReceiver } from "../support/servers/otlp-receiver.ts";

const [daemon, own, remote] = await untilTestsEnd(startBuildkitd(), makeSite(""), makeSite(""));

const elsewhere = () => ({ buildkit: { address: daemon.address } });
const warnings = (run: Run) => run.stderr.split("\n").filter((line) => line.includes("tracing: not all"));
const services = (receiver: OtlpReceiver) =>
  [...new Set(receiver.spans().map(({ service }) => service))].toSorted();

test("no program follows a receiver's redirect, which would show the headers to another host", async () => {
  await using other = await startOtlpReceiver();
  for (const [status, site, source] of [
    [307, own, {}],
    [308, remote, elsewhere()],
    [302, remote, elsewhere()],
  ] as const) {
    await using redirecting = await startOtlpReceiver(status, { location: other.endpoint });
    const token = canary("the token of the receiver");
    const tracing = { endpoint: redirecting.endpoint, headers: { "x-token": token.core } };
    const run = await site.put({}, { ...source, tracing });
    versionOf(run);
    assert.ok(redirecting.requests.length >= 2, "BuildKit's spans and ours");
    assert.ok(redirecting.requests.every(({ headers }) => headers["x-token"] === token.core));
    assert.deepEqual(other.requests, [], `${status} was followed`);
    assert.equal(warnings(run).length, 1, run.stderr);
    assert.match(
      warnings(run)[0] ?? "",
      new RegExp(
        `it answered ${status}, a redirect to ${other.endpoint}, which is not followed because the headers may be secret; make that the endpoint$`,
      ),
    );
  }
});

test("spans that a receiver rejects although it answers 200 are told in one line, and so are its remarks", async () => {
  const token = canary("the token of the receiver");
  const json = { "content-type": "application/json" };
  const rows = [
    [partialSuccess(2, "span name\n is too long"), {}, /it rejected \d+ spans: span name is too long$/],
    [partialSuccess(1, `bad token ${token.core}`), {}, /it rejected \d+ spans: bad token \*\*\*$/],
    [
      JSON.stringify({ partialSuccess: { rejectedSpans: "3", errorMessage: "no" } }),
      json,
      /it rejected \d+ spans: no$/,
    ],
    [
      "<html>log in</html>",
      { "content-type": "text/html; charset=utf-8" },
      /it answered 200 with text\/html, as no receiver of OTLP does; check the endpoint$/,
    ],
  ] as const;
  const put = (receiver: OtlpReceiver) =>
    remote.put(
      {},
      {
        ...elsewhere(),
        tracing: { endpoint: receiver.endpoint, headers: { authorization: `Bearer ${token.core}` } },
      },
    );
  for (const [body, headers, message] of rows) {
    await using receiver = await startOtlpReceiver(200, { body, headers });
    const run = await put(receiver);
    versionOf(run);
    assert.equal(warnings(run).length, 1, run.stderr);
    assert.match(warnings(run)[0] ?? "", message);
  }
  for (const [body, headers] of [
    ["{}", json],
    ["ok", { "content-type": "text/plain" }],
    ["\u0007", {}],
  ] as const) {
    await using receiver = await startOtlpReceiver(200, { body, headers });
    assert.doesNotMatch((await put(receiver)).stderr, /tracing: (?!trace \w+$)/m);
  }
  await using remarking = await startOtlpReceiver(200, { body: partialSuccess(0, "use gzip") });
  const run = await put(remarking);
  assert.deepEqual(warnings(run), []);
  assert.match(run.stderr, /^tracing: http:\S+ says: use gzip$/m);
});

test("a receiver that is busy gets the same spans again, but not before it said so", async () => {
  for (const [status, headers] of [
    [503, {}],
    [429, { "retry-after": "0" }],
  ] as const) {
    await using receiver = await startOtlpReceiver(status, { headers, times: 1 });
    const run = await remote.put({}, { ...elsewhere(), tracing: { endpoint: receiver.endpoint } });
    versionOf(run);
    assert.deepEqual(warnings(run), []);
    assert.deepEqual(services(receiver), ["buildctl", "oci-build-resource"]);
    const names = receiver.spans().map(({ spanId }) => spanId);
    assert.equal(new Set(names).size, names.length, "a span came twice");
  }
  await using busy = await startOtlpReceiver(429, { headers: { "retry-after": "3600" }, times: 1 });
  const run = await remote.put({}, { ...elsewhere(), tracing: { endpoint: busy.endpoint } });
  assert.match(warnings(run)[0] ?? "", /it answered 429$/);
});

test("variables of OpenTelemetry in the step's environment neither drop nor divert spans", async () => {
  await using diverted = await startOtlpReceiver();
  const env = {
    OTEL_SDK_DISABLED: "true",
    OTEL_TRACES_SAMPLER: "always_off",
    OTEL_TRACES_EXPORTER: "none",
    OTEL_IGNORE_ERROR: "1",
    OTEL_EXPORTER_OTLP_ENDPOINT: diverted.endpoint,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: diverted.endpoint,
    OTEL_EXPORTER_OTLP_TRACES_INSECURE: "false",
    OTEL_EXPORTER_OTLP_HEADERS: "x-foreign=1",
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: "x-foreign=1",
    OTEL_EXPORTER_OTLP_CERTIFICATE: "/nowhere",
    OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: "/nowhere",
    OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    OTEL_BSP_MAX_QUEUE_SIZE: "1",
    OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: "0",
    OTEL_SERVICE_NAME: "other",
    OTEL_RESOURCE_ATTRIBUTES: "service.name=other",
    OTEL_METRICS_EXPORTER: "otlp",
    JAEGER_TRACE: "127.0.0.1:1",
  };
  for (const [site, source, expected] of [
    [own, {}, ["buildctl", "buildkitd", "oci-build-resource"]],
    [remote, elsewhere(), ["buildctl", "oci-build-resource"]],
  ] as const) {
    await using receiver = await startOtlpReceiver();
    const run = await site.put({}, { ...source, tracing: { endpoint: receiver.endpoint } }, { env });
    versionOf(run);
    assert.deepEqual(warnings(run), []);
    assert.deepEqual(services(receiver), expected);
    const [solve] = receiver.spans().filter(({ name }) => name === "solve");
    assert.ok(Object.keys(solve?.attributes ?? {}).length > 0);
    assert.ok(receiver.requests.every(({ headers }) => headers["x-foreign"] === undefined));
    assert.deepEqual(diverted.requests, []);
  }
});

test("spans go through the proxy of the environment, and trust the source's CA certificates", async () => {
  await using authority = await createAuthority();
  const certificate = await authority.server("otel.example");
  await using receiver = await startOtlpReceiver(200, { certificate });
  const endpoint = "https://otel.example:4318";
  await using proxy = await startForwardProxy({ "otel.example:4318": `127.0.0.1:${receiver.port}` });
  const ca = await readFile(authority.ca, "utf8");
  const put = (source: object) =>
    remote.put({}, { ...elsewhere(), ...source }, { env: { HTTPS_PROXY: proxy.url } });
  const untrusted = await put({ tracing: { endpoint } });
  assert.match(warnings(untrusted)[0] ?? "", /unable to verify|self.signed/);
  for (const source of [{ ca_certs: ca, tracing: { endpoint } }, { tracing: { endpoint, ca_certs: [ca] } }]) {
    const earlier = receiver.requests.length;
    const run = await put(source);
    versionOf(run);
    assert.deepEqual(warnings(run), []);
    assert.ok(receiver.requests.length > earlier);
  }
  assert.deepEqual(services(receiver), ["buildctl", "oci-build-resource"]);
  assert.ok(proxy.asked.includes("CONNECT otel.example:4318"));
  const { version } = versionOf(await put({ ca_certs: ca, tracing: { endpoint } }));
  const seen = receiver.requests.length;
  const got = await runResource("in", {
    args: [join(remote.folder, "got-traced")],
    stdin: { source: { ...remote.source, ca_certs: ca, tracing: { endpoint } }, version },
    env: { NO_COLOR: "1", HTTPS_PROXY: proxy.url },
  });
  versionOf(got);
  assert.deepEqual(warnings(got), []);
  assert.ok(receiver.requests.length > seen);
});

test("headers that belong to the request itself are refused by name", async () => {
  const names = [
    "Host",
    "content-length",
    "Connection",
    "transfer-encoding",
    "Content-Type",
    "content-encoding",
    "Keep-Alive",
    "TE",
    "trailer",
    "upgrade",
    "expect",
    "proxy-authorization",
    "proxy-connection",
  ];
  const headers = Object.fromEntries(names.map((name) => [name, "x"]));
  const run = await remote.put(
    {},
    { ...elsewhere(), tracing: { endpoint: "http://otel.example:4318", headers } },
  );
  for (const name of names)
    assertFailedCleanly(
      run,
      new RegExp(`source\\.tracing\\.headers: ${name} .*belongs to the request itself.*remove it`),
    );
  const twice = { endpoint: "http://otel.example:4318", headers: { "X-Token": "a", "x-token": "b" } };
  assertFailedCleanly(
    await remote.put({}, { ...elsewhere(), tracing: twice }),
    /source\.tracing\.headers: "X-Token" and "x-token" are the same header; keep one/,
  );
});

test("what is wrong with an endpoint is said", async () => {
  const rows = [
    [
      "otel.example:4318",
      /source\.tracing\.endpoint: expected a URL that begins with http:\/\/ or https:\/\//,
    ],
    ["grpc://otel.example:4317", /expected a URL that begins with http:\/\/ or https:\/\//],
    ["http://user:hunter2@otel.example", /expected a URL without user and password, .*headers/],
    ["http://otel.example?token=hunter2", /expected a URL without \? and #, .*headers/],
    ["https://otel.example:port", /expected a URL with a host and, if it has one, a port from 1 to 65535/],
    ["https://otel.example:99999", /expected a URL with a host/],
    ["https://", /expected a URL with a host/],
    ["https:// otel.example", /expected a URL with a host/],
  ] as const;
  for (const [endpoint, message] of rows) {
    const run = await remote.put({}, { ...elsewhere(), tracing: { endpoint } });
    assertFailedCleanly(run, message);
    assert.doesNotMatch(run.output, /hunter2/);
  }
});
