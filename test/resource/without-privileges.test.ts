import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { startContainer } from "../support/containers/container.ts";
import type { ContainerKind } from "../support/containers/kinds.ts";
import { putIn, writeApp } from "../support/containers/puts.ts";
import { pathTo, startOtlpReceiver } from "../support/servers/otlp-receiver.ts";

/** How BuildKit is started in one container of each way. */
const ways: Readonly<Partial<Record<ContainerKind, string>>> = {
  full: "with this container's privileges",
  "fuse-only-released": "in a user namespace",
  unprivileged: "in a gVisor sandbox",
};

for (const [kind, way] of Object.entries(ways) as [ContainerKind, string][]) {
  test(`in a Concourse container of the kind ${kind} a put builds ${way}, and traces all of it`, async () => {
    await using receiver = await startOtlpReceiver();
    await using container = await startContainer(kind, { ports: [receiver.port] });
    await writeApp(container, "RUN id -u > /user && chown 3000000000:7 /user && echo $((6 * 7))\n");
    const tracing = { endpoint: receiver.endpoint };
    const put = await putIn(container, { directory: "/scratch/builds", tracing });
    assert.equal(put.exitCode, 0, put.stderr);
    // The RUN's span comes last but for those above it: buildkitd sends them when it is ended.
    const run = receiver
      .spans()
      .find(({ service, name }) => service === "buildkitd" && name.includes("RUN id -u"));
    assert.ok(run !== undefined, put.stderr);
    assert.deepEqual(pathTo(receiver, run).slice(0, 2), ["put", "solve"]);
    assert.match(put.stderr, new RegExp(`building with a BuildKit of its own, ${way} \\(`));
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

test("what gVisor can't do is refused or warned of by its name before anything is built", async () => {
  await using container = await startContainer("unprivileged");
  await writeApp(container, "RUN --network=none true\n");
  const source = { directory: "/scratch/builds" };
  const refused = await putIn(container, source, { network: "none" });
  assert.equal(refused.exitCode, 1, refused.stderr);
  assert.match(
    refused.stderr,
    /params: network: none isn't possible here, because BuildKit runs in a gVisor sandbox: .*privileged: true/,
  );
  assert.doesNotMatch(refused.stderr, /COPY/);
  const warned = await putIn(container, source, { allow: ["security.insecure"], platforms: ["linux/s390x"] });
  assert.equal(warned.exitCode, 1, warned.stderr);
  const told = warned.stderr.slice(0, warned.stderr.indexOf("COPY"));
  assert.match(told, /warning: the Dockerfile's RUN --network=none fails here/);
  assert.match(told, /warning: allow: security\.insecure gives a RUN no rights on the worker here/);
  assert.match(told, /warning: linux\/s390x: a RUN for it fails here/);
});

test("where devices can't be made, a Dockerfile's mknod is warned of before anything is built", async () => {
  await using container = await startContainer("unprivileged-on-fuse-only");
  await writeApp(container, "RUN mknod /device c 1 3\n");
  const put = await putIn(container, { directory: "/scratch/builds" });
  assert.equal(put.exitCode, 1, put.stderr);
  const told = put.stderr.slice(0, put.stderr.indexOf("COPY"));
  assert.match(
    told,
    /warning: the Dockerfile's mknod can't make a device here, because BuildKit runs in a user namespace/,
  );
});

test("a sandbox is taken where it isn't needed, and not where it is forbidden, if the source says so", async () => {
  await using container = await startContainer("full");
  await writeApp(container, "RUN uname -r\n");
  const wanted = await putIn(container, { directory: "/scratch/builds", sandbox: "gvisor" });
  assert.match(wanted.stderr, /in a gVisor sandbox .*\n(.*\n)*.*\] .*-gvisor/);
  await using plain = await startContainer("unprivileged");
  await writeApp(plain, "RUN true\n");
  const forbidden = await putIn(plain, { directory: "/scratch/builds", sandbox: "none" });
  assert.equal(forbidden.exitCode, 1, forbidden.stderr);
  assert.match(forbidden.stderr, /in a user namespace: .*not permitted.*"sandbox: auto".*privileged: true/);
  assert.doesNotMatch(forbidden.stderr, /gVisor sandbox:/);
});

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
