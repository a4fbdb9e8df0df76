import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type ContainerOptions, startContainer } from "../support/containers/container.ts";
import type { ContainerKind } from "../support/containers/kinds.ts";
import { putIn } from "../support/containers/puts.ts";
import { startDockerHub } from "../support/images/debian.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { until } from "../support/runs/wait-until.ts";

const [hub] = await untilTestsEnd(startDockerHub());

/** Builds this Dockerfile in a container with limits, and answers how the put failed. */
async function failingPut(
  kind: ContainerKind,
  limits: ContainerOptions,
  dockerfile: string,
): Promise<string> {
  const ports = [Number(new URL(hub.url).port)];
  await using container = await startContainer(kind, { ports, ...limits });
  const app = join(container.build, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), dockerfile);
  await container.own(container.build);
  const put = await putIn(container, { directory: "/tmp/builds", registry_mirrors: [hub.url] });
  assert.equal(put.exitCode, 1, put.stderr);
  assert.deepEqual(await readdir(container.scratch), []);
  await until(async () => (await container.processes()).length === 0, "every process ends with the step");
  return put.stderr;
}

/** One container for each way in which BuildKit is started. */
const kinds: readonly ContainerKind[] = [
  "full",
  "fuse-only-released",
  "unprivileged-on-fuse-only",
  "unprivileged",
];

for (const kind of kinds) {
  test(`in a container of the kind ${kind} a full disk is named, and leaves nothing`, async () => {
    const dockerfile = "FROM busybox\nRUN head -c 200000000 /dev/urandom > /large\n";
    const told = await failingPut(kind, { scratchSize: "60m" }, dockerfile);
    assert.match(told, /disk is full|the disk of \/scratch\S* was full/);
  });

  test(`in a container of the kind ${kind} a RUN that wants more memory than the step has says so`, async () => {
    const dockerfile = "FROM busybox\nRUN head -c 2000000000 /dev/zero | tail -c 1999999999 > /dev/null\n";
    const told = await failingPut(kind, { memoryLimit: 400_000_000 }, dockerfile);
    assert.match(told, /out of memory/);
  });
}
