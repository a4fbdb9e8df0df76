import { chmod, mkdir } from "node:fs/promises";
import { writeProblem } from "../host/disk-errors.ts";
import { UserError } from "../host/errors.ts";
import { removeFolder } from "../host/remove-folder.ts";
import type { StepContext } from "../host/step-context.ts";
import { sum } from "../host/sum.ts";
import type { Decompressors } from "../image/compression/decompressors.ts";
import type { Layer } from "./layer/layer.ts";
import { reportUnpacking } from "./progress.ts";
import { removeInheritance } from "./syscalls.ts";
import type { EarlyThreads } from "./threads/early-threads.ts";
import { unpackInThreads } from "./threads/unpack-in-threads.ts";
import { unpackHere } from "./unpack-here.ts";

export type { Layer } from "./layer/layer.ts";

export interface UnpackOptions {
  readonly layers: readonly Layer[];
  /** Must not exist, or be empty. It is removed again if anything fails. */
  readonly destination: string;
  readonly step: Pick<StepContext, "env" | "late" | "log" | "signal" | "trace">;
  /** Threads that may be used. By default they are started when they are needed. */
  readonly threads?: EarlyThreads | undefined;
}

/** Compressed bytes. Unpacking so many in this thread takes as long as starting threads. */
const smallImage = 1024 * 1024;

/**
 * Unpacks an image's layers into one root filesystem: types, bytes, owners, modes, times to the nanosecond, hard
 * links and extended attributes. Each layer is checked against its digest, and against its diff ID unless it is proven.
 * Nothing outside the destination is read or written, whatever the layers hold.
 * @param decompressors what may be used; by default everything that is installed
 * @throws UserError when a layer is damaged or holds what no layer may; the destination is then removed
 */
export async function unpackRootfs(
  { layers, destination, step, threads }: UnpackOptions,
  decompressors?: Decompressors,
): Promise<void> {
  await mkdir(destination, { recursive: true, mode: 0o755 });
  removeInheritance(destination);
  await chmod(destination, 0o755);
  using progress = reportUnpacking(layers.length, step.log);
  try {
    const size = sum(layers.map(({ descriptor }) => descriptor.size));
    const options = { layers, destination, step, progress, decompressors };
    await (size <= smallImage
      ? unpackHere(options)
      : unpackInThreads({ ...options, threads: threads?.take() }));
    progress.done();
  } catch (thrown) {
    const problem = await writeProblem(thrown, destination);
    await removeFolder(step, destination);
    step.signal.throwIfAborted();
    if (thrown instanceof Error && thrown.name === "TarError") {
      throw new UserError(`a layer is not a valid tar archive: ${thrown.message}`, { cause: thrown });
    }
    throw problem;
  }
}
