import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { pathWithTools } from "../support/runs/bundled-resource.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import { type Run, versionOf } from "../support/runs/resource.ts";
import { type OtlpReceiver, pathTo, startOtlpReceiver } from "../support/servers/otlp-receiver.ts";

/** Asserts that nothing is missing between the step's own span and that of the RUN. */
function assertTraced(receiver: OtlpReceiver, put: Run): void {
  versionOf(put);
  assert.doesNotMatch(put.stderr, /tracing: (buildkitd|not all)/);
  const run = receiver
    .spans()
    .find(({ service, name }) => service === "buildkitd" && /RUN .*echo traced/.test(name));
  assert.ok(run !== undefined, put.stderr);
  assert.deepEqual(pathTo(receiver, run).slice(0, 2), ["put", "solve"]);
}

/** A daemon that sends all of its spans when it is ended, and takes a second to hear of that. */
const slowDaemon = `OTEL_BSP_SCHEDULE_DELAY=600000 buildkitd "$@" & daemon=$!
trap 'sleep 1; kill "$daemon"' TERM
wait "$daemon"
wait "$daemon"
`;

test("a daemon that takes a second to end still sends its last spans", async () => {
  await using receiver = await startOtlpReceiver();
  await using site = await makeSite("RUN echo traced > /result\n");
  const path = pathWithTools(process.env["PATH"] ?? "");
  await writeFile(join(site.folder, "buildkitd"), `#!/bin/sh\nPATH='${path}'\n${slowDaemon}`, {
    mode: 0o755,
  });
  const tracing = { endpoint: receiver.endpoint };
  const put = await site.put({}, { tracing }, { env: { PATH: `${site.folder}:${path}` } });
  assertTraced(receiver, put);
});

for (const sandbox of ["auto", "gvisor"])
  test(`spans wait for a step that is too busy to take them, with sandbox: ${sandbox}`, async () => {
    await using receiver = await startOtlpReceiver();
    await using site = await makeSite("RUN echo traced; sleep 0.5; echo traced > /result\n");
    const started = await site.startPut({}, { sandbox, tracing: { endpoint: receiver.endpoint } });
    await started.wrote(/\] traced/);
    // The RUN ends meanwhile, and its span is sent to a step that doesn't run.
    started.kill("SIGSTOP");
    await delay(2_000);
    started.kill("SIGCONT");
    assertTraced(receiver, await started.result);
  });

test("a receiver that has answered before is waited for longer than one that never has", async () => {
  await using site = await makeSite("RUN sleep 2; echo traced > /result\n");
  const answers = 1_200;
  for (const firstAnswer of [0, answers]) {
    await using receiver = await startOtlpReceiver(200, { firstAnswer, laterAnswers: answers });
    const put = await site.put({ no_cache: true }, { tracing: { endpoint: receiver.endpoint } });
    if (firstAnswer === 0) assertTraced(receiver, put);
    else {
      versionOf(put);
      assert.match(put.stderr, /^warning: tracing: not all spans reached .*: no answer in time$/m);
    }
  }
});
