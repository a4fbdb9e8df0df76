import assert from "node:assert/strict";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import type { Run, StartedRun } from "./resource.ts";

/** A secret that nothing else would hold. */
export interface Canary {
  /** What it is the secret of, for messages. */
  readonly kind: string;
  /** What is looked for: letters, digits and `-`, which no quoting changes. */
  readonly core: string;
}

/** A canary; `text` around its core is what shells, formats and quoting stumble over. */
export function canary(kind: string): Canary & { readonly text: string } {
  const core = `canary-${crypto.randomUUID()}`;
  return { kind, core, text: `%2F'"%s ${core}, "x"=\\` };
}

/** The last whole line of a key's PEM text. */
export function keyCanary(kind: string, pem: string): Canary {
  const line = pem.split("\n").findLast((text) => /^[A-Za-z0-9+/]{64,76}$/.test(text));
  assert.ok(line !== undefined, `${kind}: no line of base64`);
  return { kind, core: line };
}

/** As it is (which in JSON it is too), as in a URL, and in base64, plain and for URLs, at any of the three alignments. */
export function forms({ core }: Canary): string[] {
  const base64 = [0, 1, 2].flatMap((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), Buffer.from(core)]).toString("base64");
    // What lies beside the core changes the first characters and the last.
    const own = encoded.slice(shift === 0 ? 0 : 4, -4);
    return [own, own.replaceAll("+", "-").replaceAll("/", "_")];
  });
  return [...new Set([core, encodeURIComponent(core), ...base64])];
}

/** The kinds of the canaries that a text holds, in any form. */
export function canariesIn(content: string, canaries: readonly Canary[]): string[] {
  return canaries
    .filter((each) => forms(each).some((form) => content.includes(form)))
    .map(({ kind }) => kind);
}

export function assertHoldsNone(where: string, content: string, canaries: readonly Canary[]): void {
  assert.deepEqual(canariesIn(content, canaries), [], `found in ${where}`);
}

/** Every file below a folder, with what is in it when it is compressed, an archive or both. Answers how many files. */
export async function assertFilesHoldNone(folder: string, canaries: readonly Canary[]): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  assertHoldsNone(`the names in ${folder}`, entries.map(({ name }) => name).join("\n"), canaries);
  for (const file of files) {
    const bytes = unpacked(await readFile(file));
    assertHoldsNone(file, bytes.toString("latin1"), canaries);
    // A tar archive's blobs may be compressed (POSIX, ustar: the magic at 257).
    if (bytes.subarray(257, 262).toString("latin1") !== "ustar" || !file.endsWith(".tar")) continue;
    await using into = await createPrivateFolder("test-archive");
    await execa("tar", ["-xf", file, "-C", into.path]);
    await assertFilesHoldNone(into.path, canaries);
    await rm(into.path, { recursive: true, force: true });
  }
  return files.length;
}

function unpacked(bytes: Buffer): Buffer {
  const magic = bytes.subarray(0, 4).toString("hex");
  if (magic.startsWith("1f8b")) return gunzipSync(bytes);
  return magic === "28b52ffd" ? zstdDecompressSync(bytes) : bytes;
}

/** One process that was seen: what everybody on the machine may see of it, and what its owner may. */
export interface SeenProcess {
  /** Separated by blanks. */
  readonly command: string;
  readonly environment: string;
  /** It is the run's own, which becomes one program after the other. */
  readonly isFirst: boolean;
}

/** Tells how often processes were looked at, so that one that would be gone too soon can be kept until it was seen. */
export class Looks {
  #made = 0;
  #waiting: { readonly at: number; readonly go: () => void }[] = [];

  /** All processes have been looked at. */
  made(): void {
    this.#made++;
    for (const { at, go } of this.#waiting) if (at <= this.#made) go();
    this.#waiting = this.#waiting.filter(({ at }) => at > this.#made);
  }

  /** Waits until each process that runs now has been looked at: the look under way may have passed it already. */
  async atAll(): Promise<void> {
    const { promise, resolve: go } = Promise.withResolvers<void>();
    this.#waiting.push({ at: this.#made + 2, go });
    await promise;
  }
}

/**
 * Looks at every process that descends from a run, RUN's and git's in a daemon of its own among them, for as long as
 * the run takes.
 */
export async function watchProcesses(
  started: StartedRun,
  looks = new Looks(),
): Promise<{ readonly run: Run; readonly seen: readonly SeenProcess[] }> {
  const seen = new Map<string, SeenProcess>();
  const family = new Set([started.pid]);
  const ended = new AbortController();
  const look = async (): Promise<void> => {
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
    for (const pid of pids) {
      const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "");
      // proc_pid_stat(5): the command in parentheses may hold any character; the parent is the second field behind it.
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      if (!family.has(pid) && !family.has(parent)) continue;
      family.add(pid);
      const [environment = "", command = ""] = await Promise.all(
        ["environ", "cmdline"].map((name) => readFile(`/proc/${pid}/${name}`, "latin1").catch(() => "")),
      );
      const shown = command.replaceAll("\0", " ");
      const isFirst = pid === started.pid;
      seen.set(`${isFirst}\n${command}\n${environment}`, { command: shown, environment, isFirst });
    }
  };
  const watching = (async () => {
    while (!ended.signal.aborted) {
      await look();
      looks.made();
      await nextTurn();
    }
  })();
  const run = await started.result;
  ended.abort();
  await watching;
  assert.ok(seen.size >= 1, "no process was seen");
  return { run, seen: [...seen.values()] };
}

/** No process had one among its arguments; nor in its environment, but for those that `may` have it. */
export function assertProcessesHoldNone(
  seen: readonly SeenProcess[],
  canaries: readonly Canary[],
  may: (process: SeenProcess) => readonly Canary[] = () => [],
): void {
  for (const process of seen) {
    const { command, environment } = process;
    assertHoldsNone(`the arguments of ${command.slice(0, 200)}`, command, canaries);
    const allowed = may(process);
    const others = canaries.filter((each) => !allowed.includes(each));
    assertHoldsNone(`the environment of ${command.slice(0, 200)}`, environment, others);
  }
}
