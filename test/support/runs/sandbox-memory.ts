import assert from "node:assert/strict";
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { type Canary, forms } from "./canaries.ts";

/**
 * The memory of a gVisor sandbox, as files: that of every program in it, and its filesystems.
 * @param folder the step's folder for temporary files, by which the sandbox is told from others
 */
export async function sandboxMemory(folder: string): Promise<readonly string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = pids.map(async (pid) => {
    const command = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
    if (!command.startsWith("runsc-sandbox\0") || !command.includes(folder)) return [];
    const descriptors = (await readdir(`/proc/${pid}/fd`)).map((name) => join(`/proc/${pid}/fd`, name));
    const links = await Promise.all(descriptors.map((file) => readlink(file).catch(() => "")));
    return descriptors.filter((_, index) => /memfd:|filestore/.test(links[index] ?? ""));
  });
  const files = (await Promise.all(found)).flat();
  assert.ok(files.length >= 2, `no sandbox of ${folder} runs`);
  return files;
}

/** Whether one of the files holds a canary, in any form. The files may have large holes, which grep(1) skips. */
export async function holdsCanary(files: readonly string[], wanted: Canary): Promise<boolean> {
  const patterns = forms(wanted).flatMap((form) => ["-e", form]);
  // With -a alone a hole would be one line, which has to fit into grep's memory.
  const { exitCode, stderr } = await execa("grep", ["-qazF", ...patterns, "--", ...files], { reject: false });
  assert.ok(exitCode === 0 || exitCode === 1, stderr);
  return exitCode === 0;
}
