import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { type Container, startContainer } from "../../test/support/containers/container.ts";
import type { ContainerKind } from "../../test/support/containers/kinds.ts";
import { putIn } from "../../test/support/containers/puts.ts";
import { startDockerHub } from "../../test/support/images/debian.ts";
import { runResource, versionOf } from "../../test/support/runs/resource.ts";
import type { Registry } from "../../test/support/servers/registry.ts";
import { type Contender, compare, type Result } from "./measure.ts";

/** What a RUN does, by name. The image has gcc, and git's packages without having them installed. */
const works = {
  nothing: "true",
  "apt-get install": "apt-get install -y --no-install-recommends --no-download git > /dev/null",
  "2,000 programs": "i=0; while [ $i -lt 2000 ]; do /bin/true; i=$((i + 1)); done",
  "gcc of 60 files":
    'for i in $(seq 60); do echo "#include <stdio.h>\\nint f$i(int a) { return printf(\\"%d\\", a); }" > f$i.c && gcc -O2 -c f$i.c; done',
} as const;
export type LauncherWork = keyof typeof works;
export const launcherWorks = Object.keys(works) as LauncherWork[];

/** A container of each way that BuildKit runs without the worker's privileges. */
export const launcherKinds = ["unprivileged-on-fuse-only", "fuse-only-released", "unprivileged"] as const;

const prepared = `FROM debian:bookworm-slim
RUN rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update && \\
    apt-get install -y --no-install-recommends gcc libc6-dev && \\
    apt-get install -y --no-install-recommends --download-only git
`;

/** A put with one RUN, in a Concourse container that has no privileges on the worker, against one that has all. */
export async function benchLauncher(
  kind: ContainerKind,
  { work, rounds }: { readonly work: LauncherWork; readonly rounds: number },
): Promise<Result> {
  await using resources = new AsyncDisposableStack();
  const hub = resources.use(await startDockerHub());
  await prepare(hub);
  const ports = [Number(new URL(hub.url).port)];
  const contender = async (name: string, of: ContainerKind): Promise<Contender> => {
    const container = resources.use(await startContainer(of, { ports }));
    await writeWork(container, hub, works[work]);
    return { name, run: () => timedPut(container, hub) };
  };
  return await compare(`a put of ${work}, in a container of the kind ${kind}`, rounds, [
    await contender(kind, kind),
    await contender("full", "full"),
  ]);
}

const insecure = (hub: Registry) => ({ registries: { [hub.host]: { insecure: true } } });

async function prepare(hub: Registry): Promise<void> {
  await using folder = await createPrivateFolder("bench-launchers");
  await mkdir(join(folder.path, "app"));
  await writeFile(join(folder.path, "app/Dockerfile"), prepared);
  const source = { repository: `${hub.host}/bench`, insecure: true, registry_mirrors: [hub.url] };
  const stdin = { source, params: { context: "app", tags: ["latest"] } };
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
