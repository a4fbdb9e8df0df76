import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { type Run, type RunOptions, type StartedRun, startResource } from "./resource.ts";

export interface SmallPut {
  readonly source: unknown;
  /** Beside `context: app`. */
  readonly params?: Readonly<Record<string, unknown>>;
  readonly dockerfile?: string;
  /** Files of the put's folder, by path. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  readonly env?: RunOptions["env"];
}

/** Starts a put of a Dockerfile that needs nothing but its context. */
export async function startSmallPut(options: SmallPut): Promise<StartedRun> {
  const {
    source,
    params = {},
    dockerfile = "FROM scratch\nCOPY Dockerfile /\n",
    files = {},
    env = {},
  } = options;
  const folder = await createPrivateFolder("test-put");
  for (const [path, content] of Object.entries({ "app/Dockerfile": dockerfile, ...files })) {
    await mkdir(dirname(join(folder.path, path)), { recursive: true });
    await writeFile(join(folder.path, path), content);
  }
  const started = await startResource("out", {
    stdin: { source, params: { context: "app", ...params } },
    args: [folder.path],
    env: { NO_COLOR: "1", ...env },
  });
  const result = (async () => {
    await using _ = folder;
    return await started.result;
  })();
  return { ...started, result };
}

/** Runs such a put to its end. */
export async function smallPut(options: SmallPut): Promise<Run> {
  const started = await startSmallPut(options);
  return started.result;
}
