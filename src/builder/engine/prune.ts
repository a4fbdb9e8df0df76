import { startChild } from "../../host/child.ts";
import type { Host } from "../../host/host.ts";
import type { Engine } from "./engine.ts";

/**
 * Removes what was used least recently of a daemon's cache until no more than `limit` bytes are left. The daemon's
 * own collection wouldn't do: it waits for a minute without work, and a step's daemon has ended by then.
 */
export async function pruneCache(
  { connection }: Pick<Engine, "connection">,
  limit: number,
  host: Pick<Host, "env" | "signal" | "log">,
): Promise<void> {
  // In MB; 0 would mean no limit.
  const space = Math.max(limit / 1e6, 0.001);
  const pruned = await startChild(host, "buildctl", [...connection, "prune", `--keep-storage=${space}`], {
    stdout: "ignore",
    reject: false,
  });
  host.signal.throwIfAborted();
  if (pruned.exitCode === 0) return;
  // The build itself is done and good: a cache that can't be pruned is told, and fails nothing.
  host.log.warn(`the cache could not be pruned: ${pruned.stderr.replaceAll(/\s+/g, " ").trim()}`);
}
