import { stat } from "node:fs/promises";
import { join } from "node:path";
import { keptCache } from "../builder/local-cache.ts";
import { noCache } from "../builder/plan/layer-cache.ts";
import { type DeliverTarget, deliverAll } from "../delivery/deliver.ts";
import { decideTarget } from "../delivery/target-content.ts";
import { checkTargetNames } from "../delivery/target-names.ts";
import { createPrivateFolder } from "../host/private-folder.ts";
import { readTree } from "../image/image-tree.ts";
import { readTaskParams, readTaskSandbox, withoutTaskParams } from "../request/task-params.ts";
import { openDirectoryStore } from "../store/directory/directory-store.ts";
import type { Invocation } from "./invocation.ts";
import { runBuild } from "./run-build.ts";

/** Not `cache` itself, which may be a folder of a source with a name that people like. */
const keptFolder = "cache/oci-build";

/**
 * `build`: the oci-build task. Params come from the environment, inputs lie in the working folder; the main image
 * goes into `image/`, each additional target into a folder of its name, and `cache/`, where the task's config has
 * it, keeps the layers of this run's steps for the next one.
 */
export async function build({ step: started }: Invocation): Promise<undefined> {
  const params = readTaskParams(started.env);
  const step = { ...started, env: withoutTaskParams(started.env) };
  checkTargetNames(params.additionalTargets, ["image", "cache"], "ADDITIONAL_TARGETS");
  await using held = new AsyncDisposableStack();
  const { path: folder } = held.use(await createPrivateFolder("task"));
  const store = held.use(openDirectoryStore({ directory: folder }));
  const kept = (await isFolder(join(step.cwd, "cache"))) ? join(step.cwd, keptFolder) : undefined;
  const { stage, results } = held.use(
    await runBuild({
      step,
      options: params,
      folder: { path: step.cwd, kind: "task" },
      access: { hosts: new Map() },
      daemons: { kind: "own", sandbox: readTaskSandbox(started.env) },
      cache: kept === undefined ? noCache : keptCache(kept),
      buildkitConfig: undefined,
      keptCache: kept,
      store,
      timeouts: {},
    }),
  );
  const { blobs } = stage;
  const targets: DeliverTarget[] = [];
  for (const [index, { target, descriptor }] of results.entries()) {
    const decided = decideTarget({
      outputOci: params.outputOci,
      imageTar: true,
      unpackRootfs: params.unpackRootfs,
      platform: undefined,
      place: undefined,
      tree: await readTree(blobs, descriptor, step.signal),
      blobs,
      step,
    });
    targets.push({ ...decided, folder: join(step.cwd, index === 0 ? "image" : target) });
  }
  await deliverAll(targets);
  return undefined;
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
