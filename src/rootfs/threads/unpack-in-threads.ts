import type { StepContext } from "../../host/step-context.ts";
import { type Decompressors, findDecompressors } from "../../image/compression/decompressors.ts";
import { checkDiffId, type Layer } from "../layer/layer.ts";
import { openLayer } from "../layer/open-layer.ts";
import type { UnpackProgress } from "../progress.ts";
import { tracedLayer } from "../traced-layer.ts";
import { counted } from "./ring-buffer.ts";
import { Threads } from "./threads.ts";

/** What an unpacking works on. */
export interface Unpacking {
  readonly layers: readonly Layer[];
  /** An empty folder. */
  readonly destination: string;
  readonly step: Pick<StepContext, "env" | "log" | "signal" | "trace">;
  /** By default everything that is installed. */
  readonly decompressors: Decompressors | undefined;
  readonly progress: UnpackProgress;
  /** Threads that have been started already. They are disposed of here. */
  readonly threads?: Threads | undefined;
}

/**
 * Unpacks with two threads beside this one, which feeds and verifies them, and with a process that decompresses if
 * a thread can't. File calls are made synchronously in a thread that does little else: each call through Node's thread
 * pool would cost more than the kernel's own work.
 */
export async function unpackInThreads(options: Unpacking): Promise<void> {
  const { layers, destination: root, step, progress } = options;
  await using resources = new AsyncDisposableStack();
  const threads = resources.use(options.threads ?? new Threads(step));
  const { shared } = threads;
  // The threads start meanwhile.
  const { decompressors = findDecompressors(step.env) } = options;
  progress.watch(() => ({
    entries: shared.progress[counted.entries] ?? 0,
    bytes: shared.progress[counted.bytes] ?? 0,
  }));
  const released: Promise<void>[] = [];
  resources.defer(async () => void (await Promise.allSettled(released)));
  for (const [index, layer] of layers.entries()) {
    progress.startLayer(index);
    await tracedLayer(layer, step, async () => {
      await using open = await openLayer(layer, { step, decompressors });
      const isHashed = !layer.isProven || !open.isReadOnce;
      const { digest } = layer.descriptor;
      await open.finished(await threads.write(open, { root, digest, isHashed }));
      if (isHashed) checkDiffId(layer, `sha256:${Buffer.from(shared.digest).toString("hex")}`);
    });
    const release = Promise.resolve(layer.unpacked?.());
    release.catch(() => {}); // Thrown where it is awaited.
    released.push(release);
  }
  await threads.finish(root);
  await Promise.all(released);
}
