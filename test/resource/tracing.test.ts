import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import {
  assertFilesHoldNone,
  assertHoldsNone,
  assertProcessesHoldNone,
  canary,
  watchProcesses,
} from "../support/runs/canaries.ts";
import { makeSite, result } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { holdsCanary, sandboxMemory } from "../support/runs/sandbox-memory.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import {
  type OtlpReceiver,
  pathTo,
  type ReceivedSpan,
  startOtlpReceiver,
} from "../support/servers/otlp-receiver.ts";
import { startRegistry } from "../support/servers/registry.ts";
import { startSilentServer } from "../support/servers/silent-server.ts";

const [registry, daemon] = await untilTestsEnd(startRegistry(), startBuildkitd());

const repository = () => ({ repository: `${registry.host}/app-${crypto.randomUUID()}`, insecure: true });
const remote = () => ({ ...repository(), buildkit: { address: daemon.address } });

const ours = (receiver: OtlpReceiver) =>
  receiver.spans().filter(({ service }) => service === "oci-build-resource");

/** The one span of ours that has this name. */
function only(receiver: OtlpReceiver, name: string): ReceivedSpan {
  const [found, ...others] = ours(receiver).filter((span) => span.name === name);
  const all = ours(receiver).map((span) => span.name);
  assert.ok(found !== undefined && others.length === 0, `one span ${name} is not in ${all.join(", ")}`);
  return found;
}

/**
 * Milliseconds that a receiver that hangs may add: a second is what the step waits for it, and the rest is for a
 * machine that is busy with other tests.
 */
const busyLimit = 2_500;

const digestsOf = (spans: readonly ReceivedSpan[]) =>
  new Set(spans.map(({ attributes }) => String(attributes["layer.digest"])));

const warnings = (run: Run) => run.stderr.split("\n").filter((line) => line.includes("tracing: not all"));

const parent = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7" };
const traceparent = `00-${parent.traceId}-${parent.spanId}-01`;

for (const [sandbox, engine] of [
  ["auto", /^a BuildKit of its own/],
  ["gvisor", /^a BuildKit of its own, in a gVisor sandbox$/],
] as const)
  test(`a put's trace lies under Concourse's span, and BuildKit's spans under each solve, with sandbox: ${sandbox}`, async () => {
    await using receiver = await startOtlpReceiver();
    await using site = await makeSite("RUN echo traced > /result\n", repository());
    const source = { sandbox, tracing: { endpoint: receiver.endpoint } };
    const put = await site.put({}, source, { env: { TRACEPARENT: traceparent, TRACESTATE: "vendor=1" } });
    versionOf(put);
    assert.deepEqual(warnings(put), []);
    assert.match(put.stderr, new RegExp(`^tracing: trace ${parent.traceId}$`, "m"));
    for (const { traceId, name, start, end } of receiver.spans()) {
      assert.equal(traceId, parent.traceId, name);
      assert.ok(start > 0n && end >= start, name);
    }
    const top = only(receiver, "put");
    assert.equal(top.parentSpanId, parent.spanId);
    assert.equal(top.attributes["concourse.job"], "build");
    for (const name of ["start BuildKit", "read inputs", "prepare store", "solve", "commit"])
      assert.deepEqual(pathTo(receiver, only(receiver, name)), ["put", name]);
    const solve = only(receiver, "solve");
    assert.match(String(solve.attributes["build.engine"]), engine);
    assert.equal(solve.attributes["steps.run"], "3");

    const buildkits = receiver.spans().filter(({ service }) => service !== "oci-build-resource");
    assert.deepEqual([...new Set(buildkits.map(({ service }) => service))].toSorted(), [
      "buildctl",
      "buildkitd",
    ]);
    const run = buildkits.find(({ name }) => name.includes("RUN echo traced"));
    assert.ok(run !== undefined, `no span of the RUN: ${buildkits.map(({ name }) => name).join(", ")}`);
    assert.deepEqual(pathTo(receiver, run).slice(0, 2), ["put", "solve"]);
    const push = only(receiver, "push");
    assert.deepEqual(pathTo(receiver, push), ["put", "solve", "push"]);
    assert.ok(push.start >= solve.start && push.end <= solve.end, "the push lies within its solve");
  });

test("a get's trace has each layer's fetch and unpacking; without TRACEPARENT, a step begins a trace", async () => {
  await using receiver = await startOtlpReceiver();
  await using site = await makeSite("RUN echo traced > /result\n", remote());
  const put = await site.put({});
  const { version } = versionOf(put);
  const tracing = { endpoint: `${receiver.endpoint}/v1/traces` };
  const stdin = {
    source: { ...site.source, tracing },
    version,
    params: { unpack_rootfs: true, image_tar: false },
  };
  const get = await runResource("in", { args: [join(site.folder, "got")], stdin, env: { NO_COLOR: "1" } });
  versionOf(get);
  assert.ok(receiver.requests.every(({ path }) => path === "/v1/traces"));
  const top = only(receiver, "get");
  assert.equal(top.parentSpanId, "");
  assert.match(get.stderr, new RegExp(`^tracing: trace ${top.traceId}$`, "m"));
  const layers = (name: string) => ours(receiver).filter((span) => span.name === name);
  const [fetched, unpacked] = [layers("fetch layer"), layers("unpack layer")];
  assert.equal(unpacked.length, 3);
  assert.equal(fetched.length, 3);
  assert.deepEqual(digestsOf(fetched), digestsOf(unpacked));
  for (const span of fetched)
    assert.deepEqual(pathTo(receiver, span), ["get", "deliver", "write rootfs/", "fetch layer"]);
  for (const span of unpacked)
    assert.deepEqual(pathTo(receiver, span), ["get", "deliver", "write rootfs/", "unpack layer"]);
  assert.ok(ours(receiver).every(({ error }) => error === undefined));
});

test("the headers reach the receiver, and neither RUN, nor arguments, nor the log, nor what is stored", async () => {
  await using receiver = await startOtlpReceiver();
  const token = canary("the token of the receiver");
  await using site = await makeSite(
    "RUN env > /result; cat /proc/*/environ >> /result || true; sleep 0.3\n",
    repository(),
  );
  const tracing = { endpoint: receiver.endpoint, headers: { "x-token": token.text, "x-team": "web" } };
  const started = await site.startPut({}, { tracing });
  const { run, seen } = await watchProcesses(started);
  versionOf(run);
  assertHoldsNone("the log", run.output, [token]);
  assertProcessesHoldNone(seen, [token], () => []);
  assert.ok(receiver.requests.length >= 2);
  for (const { headers } of receiver.requests) {
    assert.equal(headers["x-token"], token.text);
    assert.equal(headers["x-team"], "web");
  }
  const got = await site.get(run);
  assertHoldsNone("what RUN sees", await result(got), [token]);
  assertHoldsNone("build.json", await readFile(join(got, "build.json"), "utf8"), [token]);
});

test("a gVisor sandbox has neither the headers nor the endpoint in its files, its processes or its memory", async () => {
  await using receiver = await startOtlpReceiver();
  await using temporary = await createPrivateFolder("test-sandbox");
  await using site = await makeSite('RUN echo run""ning; sleep 600\n', repository());
  const header = canary("a header");
  const path = canary("the endpoint");
  const variable = canary("a variable of the step");
  const tracing = { endpoint: `${receiver.endpoint}/${path.core}`, headers: { "x-token": header.core } };
  const env = { TMPDIR: temporary.path, PLAIN: variable.core };
  const started = await site.startPut({}, { sandbox: "gvisor", tracing }, { env });
  const watched = watchProcesses(started);
  await started.wrote(/\] running/);
  assert.ok((await assertFilesHoldNone(temporary.path, [header, path])) > 0);
  const memory = await sandboxMemory(temporary.path);
  // The daemon has the step's variables.
  assert.equal(await holdsCanary(memory, variable), true);
  assert.equal(await holdsCanary(memory, header), false);
  assert.equal(await holdsCanary(memory, path), false);
  started.kill("SIGTERM");
  assertProcessesHoldNone((await watched).seen, [header, path]);
});

test("failures mark the spans that they ended, and aborts too", async () => {
  await using receiver = await startOtlpReceiver();
  const tracing = { endpoint: receiver.endpoint };
  await using site = await makeSite("RUN echo running; exit 7\n", { ...remote(), tracing });
  assertFailedCleanly(await site.put({}), /exit code: 7/);
  for (const name of ["put", "solve"]) assert.match(only(receiver, name).error ?? "", /exit code: 7/, name);
  assert.equal(only(receiver, "put").attributes["error.type"], "failed");
  assert.equal(only(receiver, "read inputs").error, undefined);

  await using other = await startOtlpReceiver();
  await using slow = await makeSite("RUN echo running; sleep 600\n", {
    ...remote(),
    tracing: { endpoint: other.endpoint },
  });
  const started = await slow.startPut({});
  await started.wrote(/\] running/);
  started.kill("SIGTERM");
  assert.equal((await started.result).status, 143);
  for (const name of ["put", "solve"]) {
    assert.equal(only(other, name).error, "aborted by SIGTERM");
    assert.equal(only(other, name).attributes["error.type"], "aborted");
  }
});

test("a receiver that is gone, refuses or hangs costs one warning and no failure, and less than a second", async () => {
  await using silent = await startSilentServer();
  await using refusing = await startOtlpReceiver(401);
  await using gone = await startOtlpReceiver();
  await gone[Symbol.asyncDispose]();
  await using site = await makeSite("", remote());
  const { version } = versionOf(await site.put({}));
  const get = async (tracing?: object, env = {}): Promise<Run> => {
    const to = join(site.folder, `got-${crypto.randomUUID()}`);
    const run = await runResource("in", {
      args: [to],
      stdin: {
        source: { ...site.source, ...(tracing && { tracing }) },
        version,
        params: { skip_download: true },
      },
      env: { NO_COLOR: "1", ...env },
    });
    versionOf(run);
    return run;
  };
  const rows = [
    [`http://127.0.0.1:${gone.port}`, /connection refused$/],
    [refusing.endpoint, /it answered 401; check the headers$/],
    [`http://${silent.host}`, /no answer in time$/],
    [
      "http://otel.invalid:4318",
      /there is no host of that name$|its name can't be looked up now$|no answer in time$/,
    ],
  ] as const;
  for (const [endpoint, message] of rows) {
    const got = await get({ endpoint });
    assert.equal(warnings(got).length, 1, got.stderr);
    assert.match(warnings(got)[0] ?? "", message);
  }
  const put = await site.put({}, { tracing: { endpoint: `http://${silent.host}` } });
  versionOf(put);
  assert.equal(warnings(put).length, 1, put.stderr);
  // What a step does besides is the same, so the quickest of several runs shows what tracing adds.
  const quickest = async (tracing?: object) => {
    const times: number[] = [];
    for (let at = 0; at < 3; at++) times.push((await get(tracing)).milliseconds);
    return Math.min(...times);
  };
  const added = (await quickest({ endpoint: `http://${silent.host}` })) - (await quickest());
  assert.ok(added < busyLimit, `a receiver that hangs adds ${added.toFixed(0)} ms`);
});

test("a receiver that hangs doesn't hold up BuildKit of the step's own either", async () => {
  await using silent = await startSilentServer();
  await using site = await makeSite("", repository());
  const put = async (source?: object): Promise<Run> => {
    const run = await site.put({}, { ...source });
    versionOf(run);
    return run;
  };
  const traced = { tracing: { endpoint: `http://${silent.host}` } };
  const [plain, ...runs] = [await put(), await put(traced), await put(traced)];
  assert.deepEqual(
    [plain, ...runs].map((run) => warnings(run).length),
    [0, 1, 1],
  );
  const added = Math.min(...runs.map(({ milliseconds }) => milliseconds)) - plain.milliseconds;
  assert.ok(added < busyLimit, `a receiver that hangs adds ${added.toFixed(0)} ms`);
});

test("a trace that Concourse doesn't sample is not sent, and a TRACEPARENT that is none begins a trace", async () => {
  await using receiver = await startOtlpReceiver();
  await using site = await makeSite("", { ...remote(), tracing: { endpoint: receiver.endpoint } });
  const unsampled = await site.put({}, {}, { env: { TRACEPARENT: traceparent.replace(/01$/, "00") } });
  versionOf(unsampled);
  assert.match(
    unsampled.stderr,
    /^tracing: trace \w{32} is not sampled, as TRACEPARENT says, so nothing is sent$/m,
  );
  assert.deepEqual(ours(receiver), []);
  versionOf(await site.put({}, {}, { env: { TRACEPARENT: "nonsense" } }));
  assert.equal(only(receiver, "put").parentSpanId, "");
});

test("a task traces by its variable TRACING, which no program that it starts gets", async () => {
  await using receiver = await startOtlpReceiver();
  await using folder = await createPrivateFolder("test-task");
  await mkdir(join(folder.path, "app"));
  await writeFile(join(folder.path, "app/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  const token = canary("the token of the receiver");
  const headers = `x-token=${token.core}, x-team=web%2Cshop`;
  const TRACING = JSON.stringify({ endpoint: receiver.endpoint, headers });
  const task = (env: object) =>
    runResource("build", { cwd: folder.path, env: { CONTEXT: "app", NO_COLOR: "1", ...env } });
  const run = await task({ TRACING, TRACEPARENT: traceparent });
  assert.equal(run.status, 0, run.output);
  assertHoldsNone("the log", run.output, [token]);
  assert.equal(only(receiver, "task").parentSpanId, parent.spanId);
  assert.deepEqual(pathTo(receiver, only(receiver, "deliver")), ["task", "deliver"]);
  for (const request of receiver.requests) {
    assert.equal(request.headers["x-token"], token.core);
    assert.equal(request.headers["x-team"], "web,shop");
  }
  const rows = [
    ["{", /TRACING: expected YAML or JSON, such as \{endpoint: https:/],
    ["{endpoint: nowhere}", /TRACING\.endpoint: expected a URL that begins with http/],
    [
      "{endpoint: 'http://a.example', header: {}}",
      /TRACING: there is no "header"; write headers: \{name: value\}/,
    ],
  ] as const;
  for (const [text, message] of rows) assertFailedCleanly(await task({ TRACING: text }), message);
});

test("what tracing can't do is refused by name", async () => {
  await using site = await makeSite("", remote());
  const rows: readonly (readonly [object, RegExp])[] = [
    [
      { protocol: "zipkin" },
      /source\.tracing\.protocol: expected http\/protobuf, .*; grpc and http\/json are not supported/,
    ],
    [{ protocol: "grpc" }, /source\.tracing\.protocol: expected http\/protobuf/],
    [
      { endpoint: "http://user:hunter2@otel.example" },
      /source\.tracing\.endpoint: expected a URL without user/,
    ],
    [{ headers: { "a b": "c" } }, /source\.tracing\.headers.*expected the name of an HTTP header/],
    [{ headers: { a: "hunter2\nX: y" } }, /source\.tracing\.headers\.a: expected printable ASCII/],
  ];
  for (const [fields, message] of rows) {
    const run = await site.put({}, { tracing: { endpoint: "http://otel.example:4318", ...fields } });
    assertFailedCleanly(run, message);
    assert.doesNotMatch(run.output, /hunter2/);
  }
});
