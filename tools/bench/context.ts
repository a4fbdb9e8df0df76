import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startBuildkitd } from "../../test/support/servers/buildkit.ts";
import type { Bundle } from "./bundle.ts";
import { onTmpfs } from "./disk.ts";
import { mixedBytes } from "./images.ts";
import { type Cost, compare, type Result, timed } from "./measure.ts";

const folders = 1000;
const filesOfEach = 100;
const fileSize = 20_000;

/** All of the context goes to the daemon, and next to nothing into the image. */
const dockerfile = "FROM scratch AS all\nCOPY . /\nFROM scratch\nCOPY --from=all /Dockerfile /\n";

/**
 * A put with a context of 100,000 files and 2 GB, against bare `buildctl build` of the same, each to a daemon that has
 * none of it. Everything is in memory, as the times of a disk scatter by more than what ours may add.
 */
export async function benchContext({ out }: Bundle, rounds: number): Promise<Result> {
  return await onTmpfs(async (folder) => {
    const app = join(folder, "put/app");
    await writeContext(app);
    const exported = join(folder, "exported");
    const locals = ["--local", `context=${app}`, "--local", `dockerfile=${app}`];
    const build = ["build", "--frontend=dockerfile.v0", ...locals];
    const put = (address: string) => {
      const source = { directory: join(folder, "builds"), buildkit: { address } };
      const input = JSON.stringify({ source, params: { context: "app" } });
      return timed(out, [join(folder, "put")], { input });
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
      { name: "put", run: () => onNewDaemon(folder, put) },
      { name: "buildctl", run: () => onNewDaemon(folder, buildctl) },
    ]);
  });
}

async function onNewDaemon(folder: string, run: (address: string) => Promise<Cost>): Promise<Cost> {
  const root = await mkdtemp(join(folder, "daemon-"));
  try {
    await using daemon = await startBuildkitd({ root });
    return await run(daemon.address);
  } finally {
    await rm(root, { recursive: true });
  }
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
