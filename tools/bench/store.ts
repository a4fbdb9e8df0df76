import { mkdir, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { startBuildkitd } from "../../test/support/buildkit.ts";
import { startRegistry } from "../../test/support/registry.ts";
import type { Bundle } from "./bundle.ts";
import { mixedBytes } from "./images.ts";
import { compare, inTurn, type Result, timed } from "./measure.ts";

const layers = 4;
const layerSize = 24 << 20;

/**
 * An image of four new layers of 24 MiB, built, pushed and fetched as an archive: a put and its get, against
 * `buildctl build` that pushes and `skopeo copy`, through the same daemon and registry.
 */
export async function benchRegistry({ main, env }: Bundle, rounds: number): Promise<Result> {
  await using folder = await createPrivateFolder("bench-registry");
  await using daemon = await startBuildkitd();
  await using registry = await startRegistry();
  const app = join(folder.path, "put/app");
  await mkdir(app, { recursive: true });
  const names = Array.from({ length: layers }, (_, layer) => `layer-${layer}`);
  await writeFile(
    join(app, "Dockerfile"),
    `FROM scratch\n${names.map((name) => `COPY ${name} /\n`).join("")}`,
  );
  for (const [seed, name] of names.entries()) await writeFile(join(app, name), mixedBytes(seed, layerSize));
  let builds = 0;
  /** The same files with another beginning each: neither daemon nor registry has the layers. */
  const renew = async () => {
    const mark = Buffer.from(String(builds++).padStart(16, "0"));
    for (const name of names) {
      await using file = await open(join(app, name), "r+");
      await file.write(mark, 0, mark.length, 0);
    }
  };
  const ours = { repository: `${registry.host}/ours`, insecure: true, buildkit: { address: daemon.address } };
  const to = join(folder.path, "got");
  const archive = join(folder.path, "image.tar");
  const peer = `${registry.host}/peer:latest`;
  return await compare("put and get through a registry, 96 MiB of new layers", rounds, [
    {
      name: "put, get",
      run: async () => {
        await renew();
        await rm(to, { recursive: true, force: true });
        const request = JSON.stringify({ source: ours, params: { context: "app" } });
        const put = await timed("node", [main, "out", join(folder.path, "put")], { input: request, env });
        const { version } = JSON.parse(put.stdout) as { version: unknown };
        const input = JSON.stringify({ source: ours, version });
        return inTurn(put, await timed("node", [main, "in", to], { input, env }));
      },
    },
    {
      name: "buildctl, skopeo",
      run: async () => {
        await renew();
        await rm(archive, { force: true });
        const locals = ["--local", `context=${app}`, "--local", `dockerfile=${app}`];
        const output = `type=image,name=${peer},push=true,registry.insecure=true,oci-mediatypes=true`;
        const build = ["--addr", daemon.address, "build", "--frontend=dockerfile.v0", ...locals];
        const built = await timed("buildctl", [...build, "--output", output]);
        const copy = [
          "copy",
          "--src-tls-verify=false",
          `docker://${peer}`,
          `docker-archive:${archive}:peer:latest`,
        ];
        return inTurn(built, await timed("skopeo", copy));
      },
    },
  ]);
}
