import { once } from "node:events";
import { startChild } from "../../../src/host/child.ts";
import { toolEnvironment } from "./test-step.ts";

/**
 * Does `work` while holding the lock of a file, which one process of this machine has at a time (flock(2)). A
 * flock(1) of ours holds it, so it is free again when this process ends, however it ends.
 */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const step = { env: toolEnvironment(), signal: AbortSignal.any([]) };
  const script = ["sh", "-c", "echo locked && cat"];
  const holder = startChild(step, "flock", [file, ...script], { stdin: "pipe", reject: false });
  const outcome = await Promise.race([once(holder.stdout, "data"), holder]);
  if (!Array.isArray(outcome)) throw new Error(`${file} cannot be locked: ${outcome.stderr}`);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await holder;
  }
}
