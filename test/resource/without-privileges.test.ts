import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { startContainer } from "../support/containers/container.ts";
import type { ContainerKind } from "../support/containers/kinds.ts";
import { putIn, writeApp } from "../support/containers/puts.ts";

/** How BuildKit is started in one container of each way. */
const ways: Readonly<Partial<Record<ContainerKind, string>>> = {
  "fuse-only-released": "with this container's privileges",
  "unprivileged-on-fuse-only": "in a user namespace",
  unprivileged: "in a gVisor sandbox",
};

for (const [kind, way] of Object.entries(ways) as [ContainerKind, string][]) {
  test(`in a Concourse container of the kind ${kind} a put builds ${way}`, async () => {
    await using container = await startContainer(kind);
    await writeApp(container, "RUN id -u > /user && chown 3000000000:7 /user && echo $((6 * 7))\n");
    const put = await putIn(container, { directory: "/scratch/builds" });
    assert.equal(put.exitCode, 0, put.stderr);
    assert.match(put.stderr, new RegExp(`building with a BuildKit of its own, ${way}\n`));
    assert.match(put.stderr, /\] 42\n/);
    const { digest } = JSON.parse(put.stdout).version;
    const got = await container.exec(["/opt/resource/in", "/tmp/build/get"], {
      input: JSON.stringify({
        source: { directory: "/scratch/builds" },
        version: { digest },
        params: { unpack_rootfs: true },
      }),
    });
    assert.equal(got.exitCode, 0, got.stderr);
    const owner = await container.exec(["stat", "-c", "%u:%g", "/tmp/build/get/rootfs/user"]);
    assert.equal(owner.stdout, "3000000000:7\n");
    assert.deepEqual(await readdir(container.scratch), ["builds"]);
    assert.deepEqual(await container.processes(), []);
  });
}

test("where a container allows nothing that building needs, the error has what was tried and every way out", async () => {
  await using container = await startContainer("unprivileged-before-8");
  await writeApp(container, "RUN true\n");
  const put = await putIn(container, { directory: "/scratch/builds" });
  assert.equal(put.exitCode, 1, put.stderr);
  assert.equal(put.stdout, "");
  for (const tried of [
    /with this container's privileges: .*not permitted/,
    /in a user namespace: .*not permitted/,
    /in a gVisor sandbox: .*ptrace/,
  ])
    assert.match(put.stderr, tried);
  for (const way of [/Concourse 8\.0/, /privileged: true/, /fuse-only/, /buildkit: \{address/])
    assert.match(put.stderr, way);
  assert.doesNotMatch((await readdir(container.scratch)).join("\n"), /oci-build-state/);
  assert.deepEqual(await container.processes(), []);
});
