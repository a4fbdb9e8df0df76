import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { startBuildkitd } from "../../test/support/servers/buildkit.ts";
import type { Bundle } from "./bundle.ts";
import { mixedBytes } from "./images.ts";
import { type Cost, compare, type Result, timed } from "./measure.ts";

const folders = 1000;
const filesOfEach = 100;
const fileSize = 20_000;

/** All of the context goes to the daemon, and next to nothing into the image. */
const dockerfile = "FROM scratch AS all\nCOPY . /\nFROM scratch\nCOPY --from=all /Dockerfile /\n";

/**
 * A put with a context of 100,000 files and 2 GB, against bare `buildctl build` of the same, each to a daemon that has
 * none of it.
 */
export async function benchContext({ main, putEnv }: Bundle, rounds: number): Promise<Result> {
  await using folder = await createPrivateFolder("bench-context");
  const app = join(folder.path, "put/app");
  await writeContext(app);
  const exported = join(folder.path, "exported");
  const locals = ["--local", `context=${app}`, "--local", `dockerfile=${app}`];
  const build = ["build", "--frontend=dockerfile.v0", ...locals];
  const put = (address: string) => {
    const source = { directory: join(folder.path, "builds"), buildkit: { address } };
    const input = JSON.stringify({ source, params: { context: "app" } });
    return timed("node", [main, "out", join(folder.path, "put")], { input, env: putEnv });
  };
  const buildctl = async (address: string) => {
    await rm(exported, { recursive: true, force: true });
    return timed("buildctl", [
      "--addr",
      address,
      ...build,
      "--output",
      `type=oci,tar=false,dest=${exported}`,
    ]);
  };
  return await compare("put with a context of 100,000 files, 2 GB", rounds, [
    { name: "put", run: () => onNewDaemon(put) },
    { name: "buildctl", run: () => onNewDaemon(buildctl) },
  ]);
}

async function onNewDaemon(run: (address: string) => Promise<Cost>): Promise<Cost> {
  await using daemon = await startBuildkitd();
  return await run(daemon.address);
}

async function writeContext(app: string): Promise<void> {
  const bytes = mixedBytes(0, fileSize);
  for (let at = 0; at < folders; at++) {
    const folder = join(app, `src-${at % 10}`, `package-${at}`);
    await mkdir(folder, { recursive: true });
    for (let file = 0; file < filesOfEach; file++) await writeFile(join(folder, `file-${file}`), bytes);
  }
  await writeFile(join(app, "Dockerfile"), dockerfile);
}
