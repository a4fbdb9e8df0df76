import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { type Container, startContainer } from "../../test/support/containers/container.ts";
import type { ContainerKind } from "../../test/support/containers/kinds.ts";
import { putIn } from "../../test/support/containers/puts.ts";
import { startDockerHub } from "../../test/support/images/debian.ts";
import { runResource, versionOf } from "../../test/support/runs/resource.ts";
import type { Registry } from "../../test/support/servers/registry.ts";
import { type Contender, compareEach, type Result } from "./measure.ts";

/** What a RUN does, by name, and how its base is made: small, since a put also pulls it. */
const works = {
  nothing: { base: "FROM busybox\nRUN true", command: "true" },
  "apt-get install": {
    base: "FROM debian:bookworm-slim\nRUN rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update && apt-get install -y --no-install-recommends --download-only git",
    command: "apt-get install -y --no-install-recommends --no-download git > /dev/null",
  },
  "2,000 programs": {
    base: "FROM busybox\nRUN true",
    command: "i=0; while [ $i -lt 2000 ]; do /bin/true; i=$((i + 1)); done",
  },
  "gcc of 60 files": {
    base: "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev",
    command:
      'for i in $(seq 60); do echo "#include <stdio.h>\\nint f$i(int a) { return printf(\\"%d\\", a); }" > f$i.c && gcc -O2 -c f$i.c; done',
  },
} as const;
export type LauncherWork = keyof typeof works;
export const launcherWorks = Object.keys(works) as LauncherWork[];

/** A container of each way that BuildKit runs without the worker's privileges. */
const unprivilegedKinds = ["unprivileged-on-fuse-only", "fuse-only-released", "unprivileged"] as const;

/**
 * A put with one RUN, in Concourse containers that have no privileges on the worker, each against one that has all.
 */
export async function benchLaunchers(work: LauncherWork, rounds: number): Promise<Result[]> {
  await using resources = new AsyncDisposableStack();
  const hub = resources.use(await startDockerHub());
  await prepare(hub, works[work].base);
  const contender = async (kind: ContainerKind): Promise<Contender> => {
    const container = resources.use(await startContainer(kind, { ports: [Number(new URL(hub.url).port)] }));
    await writeWork(container, hub, works[work].command);
    return { name: kind, run: () => timedPut(container, hub) };
  };
  const ours = [];
  for (const kind of unprivilegedKinds) ours.push(await contender(kind));
  return await compareEach(`a put of ${work}`, rounds, { ours, peer: await contender("full") });
}

const insecure = (hub: Registry) => ({ registries: { [hub.host]: { insecure: true } } });

/** Pushes the base, in a compression that takes little of a put's time. */
async function prepare(hub: Registry, dockerfile: string): Promise<void> {
  await using folder = await createPrivateFolder("bench-launchers");
  await mkdir(join(folder.path, "app"));
  await writeFile(join(folder.path, "app/Dockerfile"), dockerfile);
  const source = { repository: `${hub.host}/bench`, insecure: true, registry_mirrors: [hub.url] };
  const stdin = {
    source,
    params: { context: "app", tags: ["latest"], compression: { type: "zstd", force: true } },
  };
  versionOf(await runResource("out", { args: [folder.path], stdin }));
}

async function writeWork(container: Container, hub: Registry, command: string): Promise<void> {
  const app = join(container.build, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), `FROM ${hub.host}/bench:latest\nRUN ${command}\n`);
  await container.own(container.build);
}

/** Processor time and memory are those of many processes in the container, and not measured. */
async function timedPut(container: Container, hub: Registry) {
  const begun = performance.now();
  const put = await putIn(container, { directory: "/tmp/builds", ...insecure(hub) });
  const seconds = (performance.now() - begun) / 1000;
  if (put.exitCode !== 0) throw new Error(put.stderr);
  return { seconds, cpuSeconds: 0, rssMb: 0 };
}
