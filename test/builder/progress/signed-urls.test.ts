import assert from "node:assert/strict";
import { test } from "node:test";
import { LogTail } from "../../../src/builder/engine/log-tail.ts";
import type { BuildDescription } from "../../../src/builder/progress/build-description.ts";
import { solveFailure } from "../../../src/builder/progress/failure.ts";
import { BuildStep, parseVertexName } from "../../../src/builder/progress/step.ts";
import { namesOfPut } from "../../../src/host/author-names.ts";

const build: BuildDescription = { names: namesOfPut };
const signed = "https://b.s3.example/x?X-Amz-Credential=k3y&X-Amz-Signature=s1gned";
const azure = "https://b.blob.example/x?se=2030&sig=s1gned%3D";

const reasons = [
  `failed to compute cache key: failed to copy: httpReadSeeker: failed open: failed to do request: Get "${signed}": dial tcp: lookup b.s3.example: no such host`,
  `failed to compute cache key: failed to copy: httpReadSeeker: failed open: unexpected status from GET request to ${signed}: 403 Forbidden`,
  `failed to compute cache key: failed to copy: httpReadSeeker: failed open: unexpected status code ${azure}: 403 Forbidden`,
  `failed to push r.example/x: failed to copy: failed to do request: Put "${azure}": EOF`,
  `failed to load cache key: Get "${signed}": dial tcp: connection refused`,
  `r.example/x: failed to resolve source metadata for r.example/x: failed to do request: Get "${signed}": EOF`,
  `something else about ${signed}`,
  `${"x ".repeat(1_500)}${signed}${"y".repeat(1_990)}`,
];
for (const reason of reasons) {
  test(`the signature of a URL isn't shown in ${reason.slice(0, 160)}`, () => {
    const step = new BuildStep(parseVertexName("[2/2] RUN x"), "[2/2] RUN x");
    step.error = reason;
    const ofBuildctl = solveFailure(undefined, [`error: failed to solve: ${reason}`], build);
    const ofStep = solveFailure(step, [], build);
    const plain = solveFailure(undefined, [reason], build);
    for (const failure of [ofBuildctl, ofStep, plain]) {
      assert.ok(failure !== undefined);
      assert.doesNotMatch(`${failure.message} ${failure.reason}`, /s1gned|k3y/);
    }
  });
}

test("the signature of a context's URL isn't shown in the name of what loads it", () => {
  assert.equal(parseVertexName(`[context data] ${signed}`).text, "[context data] https://b.s3.example/x");
});

test("the end of a daemon's log has no signature and no login", () => {
  const log = new LogTail(10_000);
  log.write(
    Buffer.from(`msg="trying next host" error="failed: Get \\"${signed}\\": EOF" from=https://u:p4ss@h/x\n`),
  );
  assert.doesNotMatch(log.tail(5), /s1gned|k3y|p4ss/);
  assert.match(log.tail(5), /https:\/\/b\.s3\.example\/x.*EOF/);
});
