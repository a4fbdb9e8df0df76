import assert from "node:assert/strict";
import { test } from "node:test";
import { assertFailedCleanly } from "../support/runs/resource.ts";
import { faultsOf, validate } from "../support/runs/validate.ts";

const taskFile = (
  params: string,
  repository = "registry.example.com/ci/oci-build-resource",
) => `platform: linux
image_resource: { type: registry-image, source: { repository: ${repository} } }
inputs: [{ name: repo }]
outputs: [{ name: image }]
params: ${params}
run: { path: build }
`;

test("the file of a task in our image is checked as a task of a pipeline is", async () => {
  const taken = await validate(taskFile("{ CONTEXT: repo, BUILD_ARG_A: ((a)) }"));
  assert.equal(taken.status, 0, taken.output);
  assert.match(taken.stderr, /^-: 1 task: no faults$/m);
  const faults = await faultsOf(taskFile("{ UNPACK_ROOTFS: perhaps, TAG: latest }"));
  assert.match(faults[0] ?? "", /^5:11: task: UNPACK_ROOTFS: expected true or false; found "perhaps"/);
  assert.match(faults[1] ?? "", /^5:35: task: .*the task doesn't read TAG;/);
  assertFailedCleanly(
    await validate(taskFile("{ CONTEXT: repo }", "concourse/oci-build-task")),
    /nothing in it is for this resource/,
  );
});
