import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { TransferContext } from "../../../src/builder/cache-mounts/transfer.ts";
import { formatPlatform, hostPlatform } from "../../../src/image/platform.ts";
import { type BuildkitDaemon, startBuildkitd } from "../servers/buildkit.ts";
import { createTestStep, type TestStep, toolEnvironment } from "./test-step.ts";

export interface TransferDaemon extends AsyncDisposable {
  readonly context: TransferContext;
  readonly step: TestStep;
  readonly daemon: BuildkitDaemon;
}

/**
 * A fresh daemon, and how to run transfers on it.
 * @param folder for what they need, busybox first of all
 */
export async function startTransferDaemon(folder: string): Promise<TransferDaemon> {
  const tools = join(folder, "tools");
  await mkdir(tools, { recursive: true });
  await copyFile("/bin/busybox", join(tools, "busybox"));
  // What a transfer takes of the disk is told by its free space, which other tests change.
  const daemon = await startBuildkitd({ disk: "size=4g" });
  const step = createTestStep();
  const context: TransferContext = {
    step,
    engine: {
      where: "",
      version: () => undefined,
      connection: ["--addr", daemon.address],
      limited: undefined,
      provesLayers: false,
      folders: [daemon.root],
      diagnose: async () => undefined,
      accepts: async () => undefined,
      [Symbol.asyncDispose]: async () => {},
    },
    env: toolEnvironment(),
    authTls: [],
    workspace: folder,
    tools,
    platform: formatPlatform(hostPlatform(process.arch)),
    namespace: "",
    silence: 30_000,
  };
  return { context, step, daemon, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
}
