import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { shell } from "../../test/support/runs/put-and-get.ts";
import { type BuildkitDaemon, startBuildkitd } from "../../test/support/servers/buildkit.ts";
import type { Bundle } from "./bundle.ts";
import { compare, type Result, timed } from "./measure.ts";

const platforms = ["linux/amd64", "linux/arm64"];
/** Works on the building machine for each platform, so that no emulator is measured. */
const dockerfile = `${shell.replace("FROM scratch", "FROM --platform=$BUILDPLATFORM scratch")}
FROM --platform=$BUILDPLATFORM shell AS work
ARG TARGETPLATFORM
ARG ROUND
RUN for i in 1 2 3 4 5 6; do head -c 24000000 /dev/zero | gzip -c | sha256sum; done > /result
FROM scratch
COPY --from=work /result /
`;

/** A build for two platforms with work in RUN, one step at a time on each machine: two nodes against one. */
export async function benchNodes({ out }: Bundle, rounds: number): Promise<Result> {
  await using folder = await createPrivateFolder("bench-nodes");
  // A machine that is busy with one step, as most are with a compiler.
  const config = "[worker.oci]\nmax-parallelism = 1\n";
  const app = join(folder.path, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), dockerfile);
  await copyFile("/bin/busybox", join(app, "busybox"));
  await using one = await startBuildkitd({ config });
  await using two = await startBuildkitd({ config });
  let builds = 0;
  const put = (nodes: readonly { daemon: BuildkitDaemon; platforms: readonly string[] }[]) => async () => {
    const source = {
      directory: join(folder.path, "builds"),
      nodes: nodes.map(({ daemon, platforms: own }) => ({ address: daemon.address, platforms: own })),
    };
    const params = { context: "app", platforms, build_args: { ROUND: builds++ } };
    const input = JSON.stringify({ source, params });
    return timed(out, [join(folder.path, "put")], { input });
  };
  const [amd64 = "", arm64 = ""] = platforms;
  return await compare("a build for two platforms", rounds, [
    {
      name: "two nodes",
      run: put([
        { daemon: one, platforms: [amd64] },
        { daemon: two, platforms: [arm64] },
      ]),
    },
    { name: "one node", run: put([{ daemon: one, platforms }]) },
  ]);
}
