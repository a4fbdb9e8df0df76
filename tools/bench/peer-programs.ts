import { access, mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { withLock } from "../../test/support/runs/lock.ts";
import { checkout, toolEnvironment } from "../../test/support/runs/test-step.ts";
import { peerCommit } from "./bundle.ts";

const buildkit = "github.com/moby/buildkit";

/**
 * Builds buildctl and buildkitd as {@link peerCommit} did, from source that isn't edited, or finds those that were built
 * before beside the tools.
 * @returns their folder
 */
export async function peerPrograms(): Promise<string> {
  const cache = join(checkout, ".tools/cache");
  const folder = join(cache, `bench-programs-${peerCommit}`);
  await mkdir(cache, { recursive: true });
  await withLock(join(cache, "bench-programs.lock"), async () => {
    if (await exists(folder)) return;
    await using work = await createPrivateFolder("bench-programs", cache);
    const archive = await execa("git", ["-C", checkout, "archive", peerCommit, "tools"], {
      encoding: "buffer",
    });
    await execa("tar", ["-x", "-C", work.path], { input: archive.stdout });
    const bin = join(work.path, "bin");
    await buildPrograms(join(work.path, "tools"), bin);
    await rename(bin, folder);
  });
  return folder;
}

/** As the commit's tools/setup.sh. */
async function buildPrograms(tools: string, bin: string): Promise<void> {
  await mkdir(bin);
  const env = toolEnvironment({ CGO_ENABLED: "0", GOWORK: "off" });
  const list = ["list", "-C", tools, "-m", "-f", "{{.Version}}", buildkit];
  const { stdout: version } = await execa("go", list, { env });
  const flags = ["-trimpath", "-ldflags", `-s -w -X ${buildkit}/version.Version=${version}`];
  const packages = ["buildctl", "buildkitd"].map((name) => `${buildkit}/cmd/${name}`);
  await execa("go", ["build", "-C", tools, ...flags, "-o", `${bin}/`, ...packages], { env });
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
