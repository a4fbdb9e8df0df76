import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";

/** Command lines of processes whose environment holds this mark: all that came from one run. */
export async function processesOf(mark: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const environ = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
    if (environ.includes(mark))
      found.push((await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")) || pid);
  }
  return found;
}

/** Waits until no process with the mark is left. After SIGKILL the kernel ends them one after the other. */
export async function gone(mark: string): Promise<void> {
  const deadline = performance.now() + 5000;
  for (;;) {
    const left = await processesOf(mark);
    if (left.length === 0) return;
    assert.ok(performance.now() < deadline, `still there: ${left.join("; ")}`);
  }
}
