import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { startBuildkitd } from "../../test/support/servers/buildkit.ts";
import { type Bundle, peerBundle, peerCommit } from "./bundle.ts";
import { compare, type Result, timed } from "./measure.ts";

/** A put whose every step is cached, against bare `buildctl build` of the same on the same daemon, and against {@link peerCommit}. */
export async function benchPut(bundle: Bundle, rounds: number): Promise<Result> {
  await using peer = await peerBundle(peerCommit);
  await using folder = await createPrivateFolder("bench-put");
  await using daemon = await startBuildkitd();
  const app = join(folder.path, "put/app");
  await mkdir(app, { recursive: true });
  const copies = Array.from({ length: 10 }, (_, step) => `COPY Dockerfile /step-${step}\n`);
  await writeFile(join(app, "Dockerfile"), `FROM scratch\n${copies.join("")}`);
  const source = { directory: join(folder.path, "builds"), buildkit: { address: daemon.address } };
  const input = JSON.stringify({ source, params: { context: "app" } });
  const locals = ["--local", `context=${app}`, "--local", `dockerfile=${app}`];
  const build = ["--addr", daemon.address, "build", "--frontend=dockerfile.v0", ...locals];
  const buildctl = (exportTo: string) =>
    timed("buildctl", [...build, "--output", `type=oci,tar=false,dest=${exportTo}`]);
  const exported = join(folder.path, "exported");
  const put = ({ out }: Bundle) => timed(out, [join(folder.path, "put")], { input });
  return await compare("put with nothing to do", rounds, [
    { name: "put", run: () => put(bundle) },
    {
      name: "buildctl",
      run: async () => {
        await rm(exported, { recursive: true, force: true });
        return buildctl(exported);
      },
    },
    // As a put to a directory, it asks BuildKit for no blob that it has.
    { name: "buildctl, to its last export", run: () => buildctl(join(folder.path, "last-export")) },
    { name: peerCommit, run: () => put(peer) },
  ]);
}
