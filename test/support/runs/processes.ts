import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";

/** The name of a variable by which all processes of one run are told from others. */
export const newMark = () => `TEST_MARK_${crypto.randomUUID().replaceAll("-", "")}`;

/** Command lines of processes whose environment holds this mark: all that came from one run. */
export async function processesOf(mark: string): Promise<string[]> {
  return (await marked(mark)).map(({ pid, command }) => command || String(pid));
}

async function marked(mark: string): Promise<{ readonly pid: number; readonly command: string }[]> {
  const found = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const environ = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
    if (!environ.includes(mark)) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
    found.push({ pid: Number(pid), command });
  }
  return found;
}

/** Sends a signal to the processes with the mark whose command line matches. */
export async function killProcesses(
  mark: string,
  commandLine: RegExp,
  signal: NodeJS.Signals = "SIGKILL",
): Promise<void> {
  for (const { pid, command } of await marked(mark)) if (commandLine.test(command)) process.kill(pid, signal);
}

/** Waits until a process with the mark runs whose command line matches. */
export async function started(mark: string, commandLine: RegExp): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await processesOf(mark)).some((command) => commandLine.test(command)))
    assert.ok(performance.now() < deadline, `no ${commandLine} was started`);
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
